"""Runs blocking code of an event loop in a pool of threads: queries, and a WSGI application.

A response that is streamed occupies a thread only while its next piece is made. If the client reads
slowly, the loop waits, and the thread is free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.core.exceptions import BadRequest

from kernel.http.errors import APIError, crashed
from kernel.http.handlers import to_api_error
from kernel.http.pool import Pool
from kernel.http.steps import KEY, new_request_id
from kernel.telemetry import logs

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

# RFC 9110, 8.6: these responses have no Content-Length.
WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

type Send = Callable[[Mapping[str, Any]], Awaitable[None]]
type Headers = Iterable[tuple[str, str]]
type SendWhole = Callable[[int, Headers, bytes], Awaitable[None]]


log = logging.getLogger(__name__)


class Threads:
    """A pool of threads. `app` is the WSGI application that runs in it."""

    def __init__(self, app: WSGIApplication, size: int) -> None:
        self._app = app
        self._pool = Pool(size, name="web")

    def stop(self) -> None:
        """Ends the threads when they have finished their work."""
        self._pool.stop()

    async def run[T](self, function: Callable[[], T], caller: str = "") -> T:
        """Calls the function in a thread when it is the turn of the caller.

        Raises: the errors of the function. Known errors are converted to an APIError.
        """
        return await asyncio.wrap_future(self._submit(caller, function))

    def _submit[T](self, caller: str, function: Callable[[], T]) -> Future[T]:
        # The context contains the id of the request, for the log.
        call = partial(copy_context().run, _with_known_errors, function)
        return self._pool.submit(caller, call)

    async def respond(
        self,
        environ: WSGIEnvironment,
        send: Send,
        whole: SendWhole | None = None,
        caller: str = "",
    ) -> None:
        """Runs the application, and sends its response. `whole` sends a response that is complete.

        If this task is canceled, the response is still closed in a thread.
        """
        response = _Response(self._app, environ)
        last: Future[Any] = self._pool.submit(caller, response.start)
        try:
            await asyncio.wrap_future(last)
            head = response.status, response.headers
            if response.whole is not None:
                await (whole or partial(send_whole, send))(*head, response.whole)
                return
            await _send_head(send, *head)
            while True:
                last = self._submit(caller, response.next_piece)
                if (piece := await asyncio.wrap_future(last)) is None:
                    break
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            if response.whole is None:
                last.add_done_callback(lambda _: self._close(response, caller))

    def _close(self, response: _Response, caller: str) -> None:
        with suppress(RuntimeError):  # The pool has been stopped.
            self._submit(caller, response.close)


def _with_known_errors[T](function: Callable[[], T]) -> T:
    # The loop could not convert an error of the database, because this may close connections.
    try:
        return function()
    except Exception as error:
        known = to_api_error(error)
        if known is None or known is error:
            raise
        raise known from error


class _Response:
    """The response of a WSGI application. All methods run in threads."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self._app = app
        self._environ = environ
        self._body: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self.status = 500
        self.headers: list[tuple[str, str]] = []
        # The body if it is complete, or None if it is streamed.
        self.whole: bytes | None = None

    def start(self) -> None:
        try:
            self._body = self._app(self._environ, self._start_response)
        except Exception as error:  # noqa: BLE001 - the client gets it as a response
            self._fail(error)
            return
        if isinstance(self._body, list):
            self.whole = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            if self.status not in WITHOUT_BODY and not self._has_length():
                self.headers.append(("Content-Length", str(len(self.whole))))
            return
        self._pieces = iter(self._body)

    def _fail(self, error: Exception) -> None:
        """Makes the response to a request that failed outside of the application's own handling."""
        results = self._environ.get(KEY)
        request_id = results.request_id if results else new_request_id()
        is_bad = isinstance(error, BadRequest)
        known = APIError(400, str(error)) if is_bad else to_api_error(error)
        if known is None:
            with logs.request_context(request_id):
                log.error("The application failed", exc_info=error)
            known = crashed(request_id)
        answer = known.answer().completed(request_id)
        self.status, self.whole = answer.status, answer.body
        self.headers = [*answer.headers.items()]

    def _start_response(self, status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        self.status, self.headers = int(status[:3]), headers

    def _has_length(self) -> bool:
        return any(name.lower() == "content-length" for name, _ in self.headers)

    def next_piece(self) -> bytes | None:
        return next(self._pieces, None)

    def close(self) -> None:
        if close := getattr(self._body, "close", None):
            close()


async def _send_head(send: Send, status: int, headers: Headers) -> None:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def send_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await _send_head(send, status, headers)
    await send({"type": "http.response.body", "body": body})
