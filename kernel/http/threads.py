"""Runs a WSGI application in a pool of threads, for an event loop.

A response that is streamed occupies a thread only while its next piece is made. If the client reads
slowly, the loop waits, and the thread is free.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.core.exceptions import BadRequest
from django.http import HttpResponse

from kernel.futures import Pool
from kernel.http.errors import APIError, crashed
from kernel.http.responses import Answer, length_of, lines_of
from kernel.http.results import Ask
from kernel.http.views.handlers import to_api_error
from kernel.telemetry import logs

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

# RFC 9110, 8.6: these responses have no Content-Length.
WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

log = logging.getLogger(__name__)


class Threads:
    """A pool of threads. `app` is the WSGI application that runs in it."""

    def __init__(self, app: WSGIApplication, size: int) -> None:
        self._app = app
        self._pool = Pool(size, name="web")

    def stop(self) -> None:
        """Ends the threads when they have finished their work."""
        self._pool.stop()

    def submit[T](self, function: Callable[[], T], caller: str, request_id: str) -> Future[T]:
        """Calls the function in a thread when it is the turn of the caller.

        The future raises the errors of the function. Known errors are converted to an APIError.
        """
        return self._pool.submit(caller, partial(_with_known_errors, function, request_id))

    async def respond(self, environ: WSGIEnvironment, caller: str, request_id: str) -> Answer:
        """Runs the application in a thread.

        If the client disconnects meanwhile, the response is closed in a thread.
        """
        response = _Response(self, environ, caller, request_id)
        begun = self._pool.submit(caller, partial(response.start, self._app))
        try:
            await Ask(begin=lambda: begun)
        except BaseException:
            begun.add_done_callback(lambda _: response.close())
            raise
        return response.answer


def _with_known_errors[T](function: Callable[[], T], request_id: str) -> T:
    # An error is converted where it was raised, with the request's id in the line of the log.
    with logs.request_context(request_id):
        try:
            return function()
        except Exception as error:
            known = to_api_error(error)
            if known is None or known is error:
                raise
            raise known from error


class _Response:
    """The response of a WSGI application. It is also the pieces of a streamed response."""

    def __init__(
        self, threads: Threads, environ: WSGIEnvironment, caller: str, request_id: str
    ) -> None:
        self._threads, self._environ = threads, environ
        self._caller, self._request_id = caller, request_id
        self._body: Iterable[bytes] = ()
        self._pieces: Iterator[bytes] = iter(())
        self.answer = Answer(500, b"")

    def start(self, app: WSGIApplication) -> None:
        """Runs the application. Called in a thread."""
        try:
            body = app(self._environ, self._start_response)
        except Exception as error:  # noqa: BLE001 - the client gets it as a response
            self.answer = self._failed(error)
            return
        if isinstance(body, HttpResponse):
            # The whole response of Django. Its content remains.
            body.close()
            body = [body.content]
        if isinstance(body, list):
            self.answer.body = b"".join(body)
            if self.answer.status not in WITHOUT_BODY and not self.answer.has_length:
                self.answer.lines += lines_of([length_of(self.answer.body)])
        else:
            self._body, self._pieces = body, iter(body)
            self.answer.pieces = self

    def _start_response(self, status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        self.answer = Answer(int(status[:3]), lines_of(headers))

    def _failed(self, error: Exception) -> Answer:
        """Returns the response to a request that failed outside of the application's handling."""
        is_bad = isinstance(error, BadRequest)
        known = APIError(400, str(error)) if is_bad else to_api_error(error)
        if known is None:
            with logs.request_context(self._request_id):
                log.error("The application failed", exc_info=error)
            known = crashed(self._request_id)
        return known.answer()

    def next(self) -> Future[bytes | None]:
        return self._submit(partial(next, self._pieces, None))

    def close(self, size: int = 0, *, is_whole: bool = False) -> None:
        """Closes the response in a thread."""
        if close := getattr(self._body, "close", None):
            with suppress(RuntimeError):  # The pool has been stopped.
                self._submit(close)

    def _submit[T](self, function: Callable[[], T]) -> Future[T]:
        return self._threads.submit(function, self._caller, self._request_id)
