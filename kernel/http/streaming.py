"""Answers of any length, sent piece by piece. Each holds its thread until its client has read it.

So there are few of them at a time, and fewer for one caller.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import batched
from typing import Any

import django.db
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from kernel.db.connections import is_unavailable
from kernel.db.pages import PAGE_ROWS
from kernel.http.errors import RETRY_AFTER_UNAVAILABLE, APIError, unavailable
from kernel.http.handlers import error_response

MAX_PER_CALLER = 2

log = logging.getLogger(__name__)


class Streams:
    """Counts the answers that this process streams, by caller."""

    def __init__(self, most: int) -> None:
        self._most = max(most, 1)
        self._most_per_caller = max(1, min(MAX_PER_CALLER, most // 2))
        # The garbage collector, which runs at any moment, may call `leave`.
        self._lock = threading.RLock()
        self._by_caller: Counter[object] = Counter()

    def enter(self, caller: object) -> None:
        """Counts one more. Raises: APIError 429, 503."""
        with self._lock:
            if self._by_caller[caller] >= self._most_per_caller:
                raise APIError(
                    429,
                    "Too many requests.",
                    detail="Your earlier requests for long lists are still being answered.",
                    headers={"Retry-After": RETRY_AFTER_UNAVAILABLE},
                )
            if self._by_caller.total() >= self._most:
                raise unavailable("Too many long lists are being answered.")
            self._by_caller[caller] += 1

    def leave(self, caller: object) -> None:
        with self._lock:
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]


@cache
def streams() -> Streams:
    return Streams(settings.MAX_STREAMS)


class StreamedResponse(StreamingHttpResponse):
    """Sends pieces to the request's caller. Raises: APIError 429, 503 where too many are sent.

    The server ends an answer in the same way whether all pieces came or not, so only its content
    tells: JSON without its end.
    """

    def __init__(self, request: Any, pieces: Iterable[bytes], **more: Any) -> None:
        caller = request.user.pk
        streams().enter(caller)
        # Also where nobody closes it.
        self._leave = weakref.finalize(self, streams().leave, caller)
        super().__init__(_told(pieces, request.request_id), **more)

    def close(self) -> None:
        super().close()
        self._leave()


def _told(pieces: Iterable[bytes], request_id: str) -> Iterator[bytes]:
    """Yields the pieces; ends with a line in the log where the database ends them."""
    try:
        yield from pieces
    except django.db.Error as error:
        if not is_unavailable(error):
            raise
        log.warning("the answer to request %s breaks off: %s", request_id, type(error).__name__)


def release_connection() -> None:
    """Gives this thread's connection back: nobody waits with one for a client that reads."""
    if not connection.in_atomic_block:
        connection.close()


def download(
    request: HttpRequest, lines: Iterable[bytes], *, content_type: str, name: str
) -> HttpResponseBase:
    """Answers with a file of that name, or with why there is none now."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    try:
        return StreamedResponse(request, _blocks(lines), content_type=content_type, headers=headers)
    except APIError as error:
        return error_response(error)


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    for block in batched(lines, PAGE_ROWS):
        release_connection()
        yield b"".join(block)
