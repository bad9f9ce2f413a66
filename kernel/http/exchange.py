"""The exchange: everything between the head of a request and its response, in one sequence.

1. The steps find the caller, count the request, or end it (`coderapi.steps`).
2. A route sends a cached document, or collects CSP reports, without Django.
3. A thread runs Django for all other requests, with the results of the steps. Examples are another
   method or path, a rejected API key, a caller without permission, or a document that is not
   rendered yet. Sign-ins have threads of their own, because each waits until a password is hashed.
4. The response gets the headers from the steps. It is counted and logged.

The body of a request is read only when a route or Django needs it. So a
client does not upload the body of a request that gets a 401, 403, 404, 405 or 429.

The sequence is a generator. It asks for values that are not in memory (`kernel.http.asking`). If it
asks for none, the event loop runs it at once. While the loop does one thing, all other clients
wait. So everything that takes longer than about a millisecond runs in a thread.

Without the server, Django's middleware runs the same steps (`kernel.http.middleware`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from types import GeneratorType
from typing import Any

from django.urls import Resolver404, get_resolver

from kernel.http.asking import Asking, Submit
from kernel.http.body import DEFAULT_CAP, Body, Read
from kernel.http.call import Call, environ_of
from kernel.http.errors import APIError, crashed
from kernel.http.headers import KEY_EXPIRES, REQUEST_ID
from kernel.http.metrics import method_label, record_request
from kernel.http.responses import Answer, Pieces, common
from kernel.http.results import KEY, Ask, Results, Step, new_request_id
from kernel.http.steps.hosts import address_of, client_of
from kernel.http.threads import Threads
from kernel.http.views.base import rejects_without_body
from kernel.http.views.handlers import to_api_error
from kernel.settings import settings
from kernel.telemetry.access import MAX_AGENT, MAX_PATH, AccessLog, Entry

# The status of a request in the access log if its client has disconnected, as in nginx.
CLIENT_GONE = 499

log = logging.getLogger(__name__)
# The types of errors that are in the log.
_logged: set[type[Exception]] = set()


# --- The steps --------------------------------------------------------------------------------


def walk(steps: Sequence[Step], results: Results) -> Asking[None]:
    """Runs the steps until one ends the request.

    Raises: errors that `kernel.http.views.handlers` does not know. They are errors of this program.
    """
    call = results.call
    for result, step in steps:
        try:
            found = step(call, results)
            if type(found) is Ask:
                found = yield found
            elif type(found) is GeneratorType:
                found = yield from found
        except Exception as error:
            refusal = to_api_error(error)
            if refusal is None:
                raise
            found = refusal.answer()
        if found is None:
            continue
        if type(found) is Answer:
            results.answer = found
            return
        setattr(results, result, found)


def finish(results: Results, headers: Any) -> None:
    """Adds the headers from the steps.

    `headers` is the dict of an Answer, or Django's headers of a response.
    """
    if results.limit:
        for name, value in results.limit.headers().items():
            # If an array of reports exceeds the limit, the response already has newer headers.
            headers.setdefault(name, value)
    if results.caller.key_expires:
        headers[KEY_EXPIRES] = results.caller.key_expires
    for name, value in results.cors.items():
        varied = headers.get(name, "") if name == "Vary" else ""
        headers[name] = f"{varied}, {value}" if varied else value
    headers[REQUEST_ID] = results.request_id


# --- Requests and routes ----------------------------------------------------------------------


@dataclass(slots=True)
class Request:
    """A request that a connection has received.

    If its head is not valid, `refusal` is the response, and the call may be incomplete. `port` is
    the port of the server.
    """

    call: Call
    version: str = "1.1"
    body: Body | None = None
    refusal: APIError | None = None
    port: int = 0
    request_id: str = field(default_factory=new_request_id)


@dataclass(frozen=True, slots=True)
class Route:
    """A route that needs no Django if `respond` returns a response."""

    methods: frozenset[str]
    operation: str
    respond: Callable[[Results, Read], Asking[Answer | None]]
    max_body: int = DEFAULT_CAP


@dataclass(frozen=True)
class Site:
    """The application of a web worker.

    `routes` maps paths to routes. `threads` run Django, `sign_ins` run it for POST requests to
    `sign_in_paths`, and `probes` run it for health checks.
    """

    steps: Sequence[Step]
    routes: Mapping[str, Route]
    urlconf: str
    threads: Threads
    sign_ins: Threads
    probes: Threads
    sign_in_paths: frozenset[str] = frozenset()
    log: AccessLog | None = None
    counts: bool = False

    def exchange(self, request: Request) -> tuple[Asking[Answer], Submit]:
        """Returns the handling of a request, and what runs the query of an Ask in a thread."""
        exchange = Exchange(self, request)
        return exchange.run(), exchange.submit

    def threads_for(self, method: str, path: str) -> Threads:
        if path in settings.HEALTH_PATHS:
            return self.probes
        is_sign_in = method == "POST" and path in self.sign_in_paths
        return self.sign_ins if is_sign_in else self.threads

    def view_of(self, path: str) -> Any:
        """Returns the class of the view of a path, `object` for a function, or None for a 404."""
        try:
            match = self._resolver.resolve(path)
        except Resolver404:
            return None
        return getattr(match.func, "cls", object)

    @cached_property
    def _resolver(self) -> Any:
        return get_resolver(self.urlconf)


class Exchange:
    """One request and its response."""

    __slots__ = ("_begun", "_is_walked", "_max_body", "_site", "request", "results")

    def __init__(self, site: Site, request: Request) -> None:
        self._begun = time.perf_counter()
        self._site, self.request = site, request
        self.results = Results(request.call, request.request_id)
        self._is_walked = False
        self._max_body = DEFAULT_CAP

    def submit[T](self, query: Callable[[], T]) -> Future[T]:
        """Runs a function that blocks in a thread. The clients take turns."""
        return self._site.threads.submit(query, self._client(), self.request.request_id)

    def run(self) -> Asking[Answer]:
        """Returns the response, and logs it. Raises nothing."""
        try:
            answer = (yield from self._without_django()) or (yield from self._by_django())
        except GeneratorExit:
            self.log(None, 0)
            raise
        except Exception as error:  # noqa: BLE001 - the client gets a response
            answer = self._failed(error).answer()
        # Django's middleware has completed its own responses.
        if REQUEST_ID not in answer.headers:
            self._complete(answer)
        if self._site.counts:
            self._count(answer)
        if answer.pieces:
            answer.pieces = _LoggedPieces(self, answer, answer.pieces)
        elif self._site.log:
            self.log(answer, len(answer.body))
        return answer

    def _complete(self, answer: Answer) -> None:
        finish(self.results, answer.headers)
        if not answer.pieces and not answer.lines:
            answer.add_length()
        answer.lines += common().lines

    def _failed(self, error: Exception) -> APIError:
        known = to_api_error(error)
        if known is None:
            log.error("A request failed", exc_info=error)
        return known or crashed(self.request.request_id)

    def _without_django(self) -> Asking[Answer | None]:
        """Returns the response, or None if Django must handle the request."""
        if self.request.refusal:
            return self.request.refusal.answer()
        try:
            yield from walk(self._site.steps, self.results)
            self._is_walked = True
            if self.results.answer:
                return self.results.answer
            route = self._site.routes.get(self.results.path)
            if route is None or self.results.call.method not in route.methods:
                return None
            self._max_body = route.max_body
            answer = yield from route.respond(self.results, self._read)
            self.results.operation = route.operation
            return answer
        except Exception as error:  # noqa: BLE001 - Django gets the request, and handles it
            _log_once(error)
            return None

    def _by_django(self) -> Asking[Answer]:
        call, site, request = self.results.call, self._site, self.request
        path = self.results.path if self._is_walked else call.path
        body = (yield from self._read_for_django(path)) if request.body else b""
        environ = environ_of(call, body, port=request.port, version=request.version)
        if self._is_walked:
            environ[KEY] = self.results
        threads = site.threads_for(call.method, path)
        return (yield from threads.respond(environ, self._client(), request.request_id))

    # --- Bodies -----------------------------------------------------------------------------------

    def _read_for_django(self, path: str) -> Asking[bytes]:
        """Returns the body, or nothing if Django will reject the request without reading it."""
        view = self._site.view_of(path)
        if view is None or (self._is_walked and rejects_without_body(view, self.results)):
            return b""
        self._max_body = getattr(view, "max_body", DEFAULT_CAP)
        return (yield from self._read())

    def _read(self) -> Asking[bytes]:
        body = self.request.body
        return (yield from body.read(self._max_body)) if body else b""

    # --- Metrics and the log ----------------------------------------------------------------------

    def _client(self) -> str:
        """Returns the name of the client, for limits of each client."""
        return client_of(self._address())

    def _address(self) -> str:
        return self.results.address or address_of(self.results.call)

    def _count(self, answer: Answer) -> None:
        record_request(
            operation=self.results.operation,
            method=method_label(self.results.call),
            status=answer.status,
            wire_format=self.results.wire_format.value,
            seconds=time.perf_counter() - self._begun,
        )

    def log(self, answer: Answer | None, size: int) -> None:
        """Logs a response. Without a response, the client has disconnected."""
        access_log, call = self._site.log, self.results.call
        if access_log is None:
            return
        access_log.add(
            Entry(
                time.time(),
                self._address(),
                call.method,
                # The log encodes it. A character of it has up to four bytes.
                call.path[: 4 * MAX_PATH].encode(errors="surrogateescape").decode("latin-1"),
                f"HTTP/{self.request.version}",
                answer.status if answer else CLIENT_GONE,
                0 if call.method == "HEAD" else size,
                time.perf_counter() - self._begun,
                answer.headers.get(REQUEST_ID, "-") if answer else "-",
                call.headers.get("user-agent", "")[: 4 * MAX_AGENT],
            )
        )


class _LoggedPieces:
    """The pieces of a response, which is logged at its end."""

    def __init__(self, exchange: Exchange, answer: Answer, pieces: Pieces) -> None:
        self._exchange, self._answer, self._pieces = exchange, answer, pieces

    def next(self) -> Future[bytes | None]:
        return self._pieces.next()

    def close(self, size: int, *, is_whole: bool) -> None:
        self._pieces.close(size, is_whole=is_whole)
        self._exchange.log(self._answer, size)


def _log_once(error: Exception) -> None:
    """Logs the first unexpected error of each type.

    Django handles the request then, and an error in a step occurs again.
    """
    if type(error) not in _logged and to_api_error(error) is None:
        _logged.add(type(error))
        log.error("The exchange failed, and Django handles the request", exc_info=error)
