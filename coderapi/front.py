"""The application of a web worker: handles each request in the event loop, or passes it to Django.

1. The loop reads the body (`kernel.http.body`).
2. It runs the steps (`coderapi.steps`). A result that is not in memory is read in a thread.
3. It sends cached documents and histories, and collects CSP reports.
4. A thread runs Django for all other requests, with the results of the steps. Examples are another
   method or path, a rejected API key, a caller without permission, or a document that is not
   rendered yet. Sign-ins have threads of their own, because each waits until a password is hashed.

While the loop does one thing, all other clients wait. So a thread does what takes longer than about
a millisecond: compressing a document for the first time, and preparing a large body of reports.

`routes` finds the routes of the third step. Without them, Django handles these requests. A test
compares the responses of both.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.urls import get_resolver
from django.utils import timezone

from coderapi.protocol import BROKEN, CONNECTION, Connection
from coderapi.steps import STEPS
from csp.views import ReportView, reports_in_loop
from kernel.http import API_PREFIX, documents, single_slashes
from kernel.http.body import DEFAULT_CAP, BodyBytes, Receive, announces_body, read_body
from kernel.http.call import Call, environ_of, first_parameters, from_scope
from kernel.http.documents import Rendered
from kernel.http.errors import APIError, unavailable
from kernel.http.handlers import to_api_error
from kernel.http.hosts import address_of, client_of
from kernel.http.metrics import UNKNOWN, method_label, record_request
from kernel.http.responses import Answer
from kernel.http.steps import KEY, Ask, Results, finish, walk
from kernel.http.threads import Headers, Send, Threads, send_whole
from kernel.http.views import DocumentView, PublicAPIView, view_classes
from kernel.http.wire import Wire
from kernel.limiter import LimitReachedError
from kernel.telemetry import logs
from kernel.telemetry.access import MAX_AGENT, MAX_PATH, REQUEST_ID, AccessLog, Entry, Sent
from users.selectors import ME

# The status of a request in the access log if its client has disconnected, as in nginx.
CLIENT_GONE = 499
READS = frozenset({"GET", "HEAD"})
# A POST request to one of these paths is a sign-in.
SIGN_IN_PATHS = frozenset({*settings.SIGN_IN_PATHS, f"{settings.ADMIN_PATH}login"})

log = logging.getLogger(__name__)
# The types of errors that are in the log.
_logged: set[type[Exception]] = set()


@dataclass(frozen=True, slots=True)
class Route:
    """A route that the loop handles. `view` is None for the route of CSP reports."""

    methods: frozenset[str]
    operation: str
    view: type[DocumentView] | None = None


@cache
def routes(urlconf: str) -> dict[str, Route]:
    """Returns the routes of `urlconf` that the loop handles, as a mapping from path to route."""
    found = {}
    for path, view in view_classes(get_resolver(urlconf)):
        if issubclass(view, ReportView):
            found[path] = Route(frozenset({"POST"}), view.post.operation_id)
        elif issubclass(view, DocumentView) and path.startswith(API_PREFIX):
            # Only the document of the caller, whose path contains `me`, is cached.
            found[path.replace("<user:user>", ME)] = Route(READS, view.get.operation_id, view)
    return found


@dataclass(frozen=True, slots=True)
class Front:
    """An ASGI application. `threads` run Django, and `sign_ins` run it for sign-ins, if given."""

    threads: Threads
    routes: Mapping[str, Route]
    log: AccessLog | None = None
    counts: bool = False
    sign_ins: Threads | None = None
    probes: Threads | None = None

    def answer_at_once(self, scope: MutableMapping[str, Any]) -> Answer | None:
        """Returns the response if it is a cached document and all steps are in memory.

        If a step has counted the request, the results are passed on in the scope.
        """
        call = from_scope(scope)
        route = self.routes.get(single_slashes(call.path))
        if route is None or route.view is None or call.method not in route.methods:
            return None
        if announces_body(call):
            return None
        begun, results = time.perf_counter(), Results(call)
        walking = walk(STEPS, results)
        try:
            if next(walking, None) is not None:
                return None  # A result is not in memory. No step has counted the request yet.
            scope[KEY] = results
            answer = results.answer or _cached(route.view, results)
        except Exception as error:  # noqa: BLE001 - Django gets the request, and logs the error
            _log_once(error)
            return None
        if answer is None:
            return None
        finish(results, answer.headers)
        answer.add_length()
        if self.counts:
            _record(route, results, answer, begun)
        if self.log:
            sent = Sent(answer.status, len(answer.body), results.request_id)
            seconds = time.perf_counter() - begun
            self.log.add(_entry(scope, call, results.address, sent, seconds=seconds))
        return answer

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        exchange = Exchange(self, scope, receive, send)
        logs.begin_request(exchange.results.request_id)
        try:
            await exchange.run()
        except asyncio.CancelledError:
            await exchange.end_early()
        finally:
            if self.log:
                self.log.add(exchange.entry())

    def record_rejection(self, scope: Mapping[str, Any], answer: Answer) -> None:
        """Counts and logs a response of the connection itself, for example to an invalid head.

        The scope may be incomplete.
        """
        call = from_scope({**scope, "raw_path": b"", "query_string": b""})
        if self.counts:
            record_request(
                operation=UNKNOWN,
                method=method_label(call),
                status=answer.status,
                wire_name=Wire.DOCUMENTED.value,
                seconds=0.0,
            )
        if self.log:
            sent = Sent(answer.status, len(answer.body), answer.headers[REQUEST_ID])
            self.log.add(_entry(scope, call, address_of(call), sent, seconds=0.0))


class Exchange:
    """One request and its response."""

    __slots__ = (
        "begun",
        "call",
        "connection",
        "front",
        "is_walked",
        "receive",
        "results",
        "scope",
        "send",
        "sent",
    )

    def __init__(
        self, front: Front, scope: Mapping[str, Any], receive: Receive, send: Send
    ) -> None:
        self.begun = time.perf_counter()
        self.front, self.scope, self.receive = front, scope, receive
        self.sent = Sent()
        self.send = self.sent.watching(send) if front.log else send
        walked: Results | None = scope.get(KEY)
        self.results = walked or Results(from_scope(scope))
        self.call = self.results.call
        self.is_walked = walked is not None
        self.connection: Connection | None = scope.get(CONNECTION)

    async def run(self) -> None:
        if not announces_body(self.call):
            await self._respond(b"")
            return
        with BodyBytes(self._bucket()) as held:
            try:
                body = await self._body(held)
            except (APIError, LimitReachedError) as error:
                await self._send_last(error)
            else:
                await self._respond(body)

    # --- Bodies ---------------------------------------------------------------------------------

    async def _body(self, held: BodyBytes) -> bytes:
        cap = settings.BODY_CAPS.get(single_slashes(self.call.path), DEFAULT_CAP)
        return await read_body(self.call, self.receive, held, cap=cap, is_broken=self._is_broken)

    def _is_broken(self) -> bool:
        return BROKEN in self.scope

    async def end_early(self) -> None:
        """Responds to a client that is still connected when the server ends."""
        if self.connection and self.connection.can_respond:
            await self._send_last(unavailable("The server is stopping."))

    async def _send_last(self, error: Exception) -> None:
        """Sends an error, for example before the body has arrived. Then closes the connection."""
        known = to_api_error(error)
        if known is None:
            raise error
        answer = known.answer().completed(self.results.request_id)
        if self.connection:
            self.connection.close_after_response()
        await self._send_whole(answer.status, answer.headers.items(), answer.body)

    # --- Responses ------------------------------------------------------------------------------

    async def _respond(self, body: bytes) -> None:
        answer, route, has_results = None, None, False
        try:
            if not self.is_walked:
                await self._walk()
            has_results = True
            route = self.front.routes.get(self.results.path)
            answer = self.results.answer or await self._answer(route, body)
        except Exception as error:  # noqa: BLE001 - Django gets the request, and logs the error
            _log_once(error)
        if answer is not None:
            finish(self.results, answer.headers)
            self._record(route, answer)
            await self._send(answer)
            return
        environ = environ_of(self.scope, self.call, body)
        if has_results:
            environ[KEY] = self.results
        threads = self.front.sign_ins if self._is_sign_in() else None
        if self.call.path in settings.HEALTH_PATHS:
            threads = self.front.probes
        threads = threads or self.front.threads
        await threads.respond(environ, self.send, self._send_whole, self._bucket())

    def _is_sign_in(self) -> bool:
        return self.call.method == "POST" and single_slashes(self.call.path) in SIGN_IN_PATHS

    async def _walk(self) -> None:
        """Runs the steps. Raises: the errors of `walk`."""
        walking = walk(STEPS, self.results)
        resume = partial(next, walking)
        with suppress(StopIteration):
            while True:
                ask = resume()
                try:
                    resume = partial(walking.send, await self._found(ask))
                except Exception as error:  # noqa: BLE001 - `walk` converts it
                    resume = partial(walking.throw, error)

    async def _found(self, ask: Ask) -> Any:
        if ask.begin:
            return await asyncio.wrap_future(ask.begin())
        return await self._run(ask.query)

    async def _run[T](self, function: Callable[[], T]) -> T:
        return await self.front.threads.run(function, self._bucket())

    def _bucket(self) -> str:
        """Returns the name of the client, for limits of each client."""
        return client_of(self.results.address or address_of(self.call))

    async def _answer(self, route: Route | None, body: bytes) -> Answer | None:
        """Returns the response, or None if Django must handle the request."""
        if route is None or self.call.method not in route.methods:
            return None
        if route.view is not None:
            return await self._document(route.view)
        if not announces_body(self.call):
            return None
        return await reports_in_loop(self.results, body, now=timezone.now(), run=self._run)

    async def _document(self, view: type[DocumentView]) -> Answer | None:
        """Returns a cached document, or None. Compresses it in a thread if that is necessary."""
        if (rendered := _rendered(view, self.results)) is None:
            return None
        ready = documents.ready_answer(rendered, self.call)
        return ready or await self._run(partial(documents.answer, rendered, self.call))

    async def _send(self, answer: Answer) -> None:
        answer.add_length()
        await self._send_whole(answer.status, answer.headers.items(), answer.body)

    async def _send_whole(self, status: int, headers: Headers, body: bytes) -> None:
        if self.connection is None:
            await send_whole(self.send, status, headers, body)
            return
        if self.front.log:
            self.sent.add_whole(status, headers, len(body))
        await self.connection.respond(status, headers, body)

    # --- Metrics and the log --------------------------------------------------------------------

    def _record(self, route: Route | None, answer: Answer) -> None:
        if self.front.counts:
            _record(route, self.results, answer, self.begun)

    def entry(self) -> Entry:
        """Returns the data of the response for the access log."""
        address = self.results.address or address_of(self.call)
        seconds = time.perf_counter() - self.begun
        return _entry(self.scope, self.call, address, self.sent, seconds=seconds)


def _entry(
    scope: Mapping[str, Any], call: Call, address: str, sent: Sent, *, seconds: float
) -> Entry:
    return Entry(
        time.time(),
        address,
        call.method,
        unquote_to_bytes(scope["raw_path"])[: 4 * MAX_PATH].decode("latin-1"),
        f"HTTP/{scope['http_version']}",
        sent.status or CLIENT_GONE,
        0 if call.method == "HEAD" else sent.size,
        seconds,
        sent.request_id,
        call.headers.get("user-agent", "")[: 4 * MAX_AGENT],
    )


def _rendered(view: type[DocumentView], results: Results) -> Rendered | None:
    """Returns the document if it is cached and the caller may read it, or None."""
    identity = results.caller.identity
    if not issubclass(view, PublicAPIView) and (
        identity is None or any(refusal(identity) for refusal in view.refusals())
    ):
        return None
    return view.peek(first_parameters(results.call), results.wire, identity)


def _cached(view: type[DocumentView], results: Results) -> Answer | None:
    """Returns the response with a cached document, or None if it must be compressed first."""
    rendered = _rendered(view, results)
    return documents.ready_answer(rendered, results.call) if rendered else None


def _record(route: Route | None, results: Results, answer: Answer, begun: float) -> None:
    is_handled = route is not None and results.answer is None
    record_request(
        operation=route.operation if route and is_handled else UNKNOWN,
        method=method_label(results.call),
        status=answer.status,
        wire_name=results.wire.value,
        seconds=time.perf_counter() - begun,
    )


def _log_once(error: Exception) -> None:
    """Logs the first unexpected error of each type.

    Django handles the request then, and an error in a step occurs again.
    """
    if to_api_error(error) is None and type(error) not in _logged:
        _logged.add(type(error))
        log.error("The front failed, and Django handles the request", exc_info=error)
