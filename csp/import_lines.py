"""The lines of an imported file, each known by all of the file up to it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it stands. `rest` is what of it is past `LONGEST_LINE`.

    `beginning` is a digest of the file up to and with this line, without the white space around
    lines: so a last line is the same before and after it gets its end.
    """

    number: int
    text: bytes
    beginning: uuid.UUID
    rest: BinaryIO | None = None
    is_ended: bool = True

    @property
    def size(self) -> int:
        """Bytes, its end left out where it is too long."""
        return len(self.text) + (self.rest.seek(0, 2) if self.rest else 0)

    def write_to(self, file: BinaryIO) -> None:
        """Writes the whole line, with one end."""
        file.write(self.text.rstrip(b"\r\n"))
        if self.rest is not None:
            self.rest.seek(0)
            shutil.copyfileobj(self.rest, file)
        file.write(b"\n")

    def close(self) -> None:
        if self.rest is not None:
            self.rest.close()


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def lines(source: BinaryIO) -> Iterator[Line]:
    """Every line of the source, read once and in order, so that it may be a pipe."""
    digest, number = hashlib.sha256(b"coderapi csp import\n"), 0
    while text := source.readline(LONGEST_LINE + 1):
        number += 1
        is_ended, rest = text.endswith(b"\n"), None
        digest.update(text.strip())
        if not is_ended and len(text) > LONGEST_LINE:
            rest, is_ended = _rest(source, digest)
        digest.update(b"\n")
        yield Line(number, text, _id(digest), rest, is_ended)


def _rest(source: BinaryIO, digest: _Digest) -> tuple[BinaryIO, bool]:
    """What follows of a line that is too long, and whether it has an end.

    It goes to disk: nobody knows how long it is, nor yet whether it is to be written aside.
    """
    rest = tempfile.TemporaryFile()  # noqa: SIM115 - the line takes it along
    is_ended = False
    while not is_ended and (text := source.readline(LONGEST_LINE)):
        is_ended = text.endswith(b"\n")
        text = text.removesuffix(b"\n")
        digest.update(text)
        rest.write(text)
    return rest, is_ended


def _id(digest: _Digest) -> uuid.UUID:
    return uuid.UUID(bytes=digest.digest()[:16])
