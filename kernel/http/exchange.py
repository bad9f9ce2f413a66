"""The exchange: everything between the head of a request and its response, in one sequence.

1. The steps find the caller, count the request, or end it (`coderapi.steps`).
2. A route sends a cached document, or collects CSP reports, without Django.
3. A thread runs Django for all other requests, with the results of the steps. Examples are another
   method or path, a rejected API key, a caller without permission, or a document that is not
   rendered yet. Sign-ins have threads of their own, because each waits until a password is hashed.
4. The response gets the headers from the steps. It is counted and logged.

The body of a request is read only when a route or Django needs it. So a
client does not upload the body of a request that gets a 401, 403, 404, 405 or 429.

The sequence is a coroutine. It asks for values that are not in memory (`kernel.http.asking`). If it
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
from functools import partial
from types import CoroutineType
from typing import Any

from django.urls import Resolver404, get_resolver

from kernel.http.asking import Asking
from kernel.http.body import DEFAULT_CAP, Body, Read
from kernel.http.call import Call, environ_of
from kernel.http.errors import APIError, crashed
from kernel.http.headers import KEY_EXPIRES, RATE_LIMIT, REQUEST_ID
from kernel.http.metrics import record_request
from kernel.http.responses import Answer, Pieces, common_lines, lines_of
from kernel.http.results import KEY, Results, Step, new_request_id
from kernel.http.steps.hosts import client_of
from kernel.http.threads import Threads
from kernel.http.views.base import rejects_without_body
from kernel.http.views.handlers import to_api_error
from kernel.telemetry.access import MAX_AGENT, MAX_PATH, AccessLog, Entry

# The status of a request in the access log if its client has disconnected, as in nginx.
CLIENT_GONE = 499
LIMITED = f"{RATE_LIMIT}: ".encode()
VARY = b"Vary: "

log = logging.getLogger(__name__)


# --- The steps --------------------------------------------------------------------------------


async def walk(steps: Sequence[Step], results: Results) -> Answer | None:
    """Runs the steps until one ends the request. Returns its answer, or None.

    Raises: errors that `kernel.http.views.handlers` does not know. They are errors of this program.
    """
    call = results.call
    for result, step in steps:
        try:
            found = step(call, results)
            if type(found) is CoroutineType:
                found = await found
        except Exception as error:
            refusal = to_api_error(error)
            if refusal is None:
                raise
            found = refusal.answer()
        if found is None:
            continue
        if type(found) is Answer:
            return found
        setattr(results, result, found)
    return None


def finish(lines: bytes, results: Results) -> bytes:
    """Returns the lines of a response with those of the steps, and those of every response."""
    # If an array of reports exceeds the limit, the response already has newer headers.
    headers = {} if LIMITED in lines else {**results.limit}
    headers[REQUEST_ID] = results.request_id
    if results.caller.key_expires:
        headers[KEY_EXPIRES] = results.caller.key_expires
    if results.cors:
        headers |= results.cors
        if VARY in lines:
            # Some caches read only one line with this name.
            lines = lines.replace(VARY, b"%s%s, " % (VARY, headers.pop("Vary").encode()), 1)
    return b"".join((lines, lines_of(headers.items()), common_lines()))


# --- Requests and routes ----------------------------------------------------------------------


@dataclass(slots=True)
class Request:
    """A request that a connection has received.

    `address` is the IP address of the client. If the head is not valid, `refusal` is the response,
    and the call may be incomplete. `port` is the port of the server.
    """

    call: Call
    address: str
    version: str = "1.1"
    body: Body | None = None
    refusal: APIError | None = None
    port: int = 0
    request_id: str = field(default_factory=new_request_id)
    begun: float = field(default_factory=time.perf_counter)

    @property
    def client(self) -> str:
        """The name of the client, for limits of each client."""
        return client_of(self.address)

    async def read(self, max_body: int) -> bytes:
        return await self.body.read(max_body) if self.body else b""


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

    `routes` maps paths to routes. `threads` run Django, and `sign_ins` run it for POST requests to
    `sign_in_paths`.
    """

    steps: Sequence[Step]
    routes: Mapping[str, Route]
    urlconf: str
    threads: Threads
    sign_ins: Threads
    sign_in_paths: frozenset[str] = frozenset()
    log: AccessLog | None = None
    counts: bool = False

    def submit[T](self, request: Request, query: Callable[[], T]) -> Future[T]:
        """Runs a function that blocks in a thread. The clients take turns."""
        return self.threads.submit(query, request.client, request.request_id)

    async def exchange(self, request: Request) -> Answer:
        """Returns the response, and logs it. Raises only errors of this program."""
        results = Results(request.call, request.address, request.request_id)
        try:
            answer = await self._without_django(request, results) or (
                await self._by_django(request, results)
            )
        except GeneratorExit:
            self.note(request, None, 0)
            raise
        except Exception as error:  # noqa: BLE001 - the client gets a response
            answer = _failed(error, request.request_id).answer()
        answer.lines = finish(answer.lines, results)
        if self.counts:
            record_request(results, answer.status, time.perf_counter() - request.begun)
        if answer.pieces:
            answer.pieces = _LoggedPieces(self, request, answer, answer.pieces)
        else:
            self.note(request, answer, len(answer.body))
        return answer

    async def _without_django(self, request: Request, results: Results) -> Answer | None:
        """Returns the response, or None if Django must handle the request."""
        if request.refusal:
            return request.refusal.answer()
        if answer := await walk(self.steps, results):
            return answer
        route = self.routes.get(request.call.path)
        if route is None or request.call.method not in route.methods:
            return None
        results.operation = route.operation
        return await route.respond(results, partial(request.read, route.max_body))

    # --- Django -----------------------------------------------------------------------------------

    async def _by_django(self, request: Request, results: Results) -> Answer:
        call, body = request.call, b""
        if request.body:
            view = self._view_of(call.path)
            # Django rejects other requests without reading the body.
            if view is not None and not rejects_without_body(view, results):
                body = await request.read(getattr(view, "max_body", DEFAULT_CAP))
        environ = environ_of(call, body, port=request.port, version=request.version)
        environ[KEY] = results
        threads = self._threads_for(call)
        return await threads.respond(environ, request.client, request.request_id)

    def _threads_for(self, call: Call) -> Threads:
        is_sign_in = call.method == "POST" and call.path in self.sign_in_paths
        return self.sign_ins if is_sign_in else self.threads

    def _view_of(self, path: str) -> Any:
        """Returns the class of the view of a path, `object` for a function, or None for a 404."""
        try:
            match = get_resolver(self.urlconf).resolve(path)
        except Resolver404:
            return None
        return getattr(match.func, "cls", object)

    # --- The log ----------------------------------------------------------------------------------

    def note(self, request: Request, answer: Answer | None, size: int) -> None:
        """Logs a response. Without a response, the client has disconnected."""
        call = request.call
        if self.log is None:
            return
        self.log.add(
            Entry(
                time.time(),
                request.address,
                call.method,
                # The log encodes it. A character of it has up to four bytes.
                call.path[: 4 * MAX_PATH].encode(errors="surrogateescape").decode("latin-1"),
                f"HTTP/{request.version}",
                answer.status if answer else CLIENT_GONE,
                0 if call.method == "HEAD" else size,
                time.perf_counter() - request.begun,
                request.request_id if answer else "-",
                call.headers.get("user-agent", "")[: 4 * MAX_AGENT],
            )
        )


def _failed(error: Exception, request_id: str) -> APIError:
    known = to_api_error(error)
    if known is None:
        log.error("A request failed", exc_info=error)
    return known or crashed(request_id)


class _LoggedPieces:
    """The pieces of a response, which is logged at its end."""

    def __init__(self, site: Site, request: Request, answer: Answer, pieces: Pieces) -> None:
        self._site, self._request, self._answer, self._pieces = site, request, answer, pieces

    def next(self) -> Future[bytes | None]:
        return self._pieces.next()

    def close(self, size: int, *, is_whole: bool) -> None:
        self._pieces.close(size, is_whole=is_whole)
        self._site.note(self._request, self._answer, size)
