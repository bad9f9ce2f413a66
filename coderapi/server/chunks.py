"""Takes a body in chunks out of the bytes of its connection (RFC 9112, 7)."""

from __future__ import annotations

import re
from collections.abc import Callable

from coderapi.server.limits import Limits
from kernel.http.body import Body
from kernel.http.errors import APIError

# A chunk's size, and extensions, which are ignored. More digits exceed every limit.
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
MAX_LINE = 1024
END = b"\r\n"


class Chunked(Body):
    """A body in chunks. The fields after it are dropped: they could replace a proxy's headers."""

    def __init__(self, want: Callable[[], None], limits: Limits) -> None:
        super().__init__(0, want, limits.body_seconds)
        self._limits = limits
        # The bytes of the current chunk that have not arrived, with the line break after it.
        self._left = 0
        self._chunks = self._size = self._fields = self._field_bytes = 0
        self._is_last = False

    def take(self, data: bytes) -> bytes:
        at = 0
        while at < len(data) and not self.is_complete:
            if self._is_last:
                after = self._take_field(data, at)
            elif self._left:
                after = self._take_piece(data, at)
            else:
                after = self._take_size(data, at)
            if after == at:
                break
            at = after
        return data[at:]

    def _take_size(self, data: bytes, at: int) -> int:
        found = CHUNK.match(data, at)
        if found is None:
            if data.find(b"\n", at) >= 0 or len(data) - at > MAX_LINE:
                raise _invalid()
            return at
        self._chunks += 1
        if self._chunks > self._limits.tiny_chunks + self._size // self._limits.chunk_bytes:
            raise APIError(400, "The chunks of the request body are too small.")
        size = int(found[1], 16)
        self._size += size
        self._is_last = size == 0
        self._left = size + len(END) if size else 0
        return found.end()

    def _take_piece(self, data: bytes, at: int) -> int:
        of_chunk = self._left - len(END)
        if of_chunk > 0:
            piece = data[at : at + of_chunk]
            self._left -= len(piece)
            self.add(piece)
            return at + len(piece)
        end = data[at : at + len(END)]
        if not END.startswith(end):
            raise _invalid()
        if end != END:
            return at
        self._left = 0
        return at + len(END)

    def _take_field(self, data: bytes, at: int) -> int:
        """Drops a line after the last chunk. An empty line ends the body."""
        end = data.find(END, at)
        size = self._field_bytes + (len(data) if end < 0 else end) - at
        if size > self._limits.head_bytes or self._fields > self._limits.headers:
            raise APIError(431, "The fields after the request body are too large.")
        if end < 0:
            return at
        self._field_bytes = size
        self._fields += 1
        if end == at:
            self.complete()
        elif b"\n" in data[at:end] or b"\r" in data[at:end] or b":" not in data[at:end]:
            raise _invalid()
        return end + len(END)


def _invalid() -> APIError:
    return APIError(400, "The chunks of the request body are not valid.")
