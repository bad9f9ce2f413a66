"""Streamed answers: of any length, sent piece by piece.

Each holds its thread until the client has read it, so a limiter bounds them.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from itertools import batched
from typing import Any

import django.db
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from kernel.db.connections import is_unavailable
from kernel.db.pages import PAGE_ROWS
from kernel.http.errors import limit_reached
from kernel.http.handlers import error_response
from kernel.limiter import Limiter, LimitReachedError

MAX_PER_CALLER = 2

log = logging.getLogger(__name__)


STREAMS = Limiter(
    "streamed answers",
    limit=settings.MAX_STREAMS,
    per_caller=max(1, min(MAX_PER_CALLER, settings.MAX_STREAMS // 2)),
    full="Too many long lists are being answered.",
    own_full="Your earlier requests for long lists are still being answered.",
)


class StreamedResponse(StreamingHttpResponse):
    """Sends an answer to the caller piece by piece. Raises: LimitReachedError.

    The server ends a complete and an incomplete answer in the same way. A client sees only from the
    content, such as JSON without its end, that the answer broke off.
    """

    def __init__(self, request: Any, pieces: Iterable[bytes], **more: Any) -> None:
        place = STREAMS.acquire(request.user.pk)
        # The garbage collector releases the place of a response that is never closed.
        self._release = weakref.finalize(self, STREAMS.release, place)
        super().__init__(_logged(pieces, request.request_id), **more)

    def close(self) -> None:
        super().close()
        self._release()


def _logged(pieces: Iterable[bytes], request_id: str) -> Iterator[bytes]:
    """Yields the pieces. Logs a line and stops if the database goes away meanwhile."""
    try:
        yield from pieces
    except django.db.Error as error:
        if not is_unavailable(error):
            raise
        log.warning("the answer to request %s breaks off: %s", request_id, type(error).__name__)


def release_connection() -> None:
    """Returns this thread's connection to the pool before it waits for the client."""
    if not connection.in_atomic_block:
        connection.close()


def download(
    request: HttpRequest, lines: Iterable[bytes], *, content_type: str, name: str
) -> HttpResponseBase:
    """Answers with a file of that name, or with 429 or 503 while too many are streamed."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    try:
        return StreamedResponse(request, _blocks(lines), content_type=content_type, headers=headers)
    except LimitReachedError as error:
        return error_response(limit_reached(error))


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    for block in batched(lines, PAGE_ROWS):
        release_connection()
        yield b"".join(block)
