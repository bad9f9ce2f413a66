"""Taking in files of rows: JSON lines in batches, with the bad lines set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any, BinaryIO

import orjson

from deployment.stats.ingest import ingest
from deployment.stats.outcome import Rejection, Verdicts

BATCH_ROWS = 10_000
LONGEST_LINE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, how many bytes it is, and its text unless it is too long."""

    number: int
    size: int
    text: bytes | None


@dataclass(slots=True)
class ImportCounts:
    lines: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0

    def add(self, lines: int, verdicts: Verdicts) -> None:
        self.lines += lines
        self.accepted += verdicts.accepted
        self.duplicate += verdicts.duplicate
        self.rejected += len(verdicts.rejected)


def read_lines(source: BinaryIO) -> Iterator[Line]:
    """Every line, in bounded memory however long one is."""
    number = 0
    while part := source.readline(LONGEST_LINE):
        number += 1
        if len(part) < LONGEST_LINE or part.endswith(b"\n"):
            yield Line(number, len(part), part)
        else:
            yield Line(number, len(part) + _skip_rest(source), None)


def _skip_rest(source: BinaryIO) -> int:
    """Reads up to the end of the line; how many bytes that were."""
    skipped = 0
    while part := source.readline(LONGEST_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def import_lines(
    source: BinaryIO,
    *,
    kind: str,
    clock: Callable[[], datetime],
    advance: Callable[[int, int], Any],
    set_aside: Callable[[Rejection, bytes], Any],
) -> ImportCounts:
    """Takes in every good line, each batch in a transaction of its own; empty lines are skipped.

    `advance(lines, bytes)` hears of each batch when it is committed, `set_aside` of each bad line.
    """
    counts = ImportCounts()
    for batch in batched(read_lines(source), BATCH_ROWS):
        verdicts = import_batch(batch, kind=kind, now=clock())
        texts = {line.number: line.text for line in batch}
        for rejection in verdicts.rejected:
            set_aside(rejection, texts[rejection.row] or b"")
        counts.add(len(batch), verdicts)
        advance(len(batch), sum(line.size for line in batch))
    return counts


def import_batch(lines: Iterable[Line], *, kind: str, now: datetime) -> Verdicts:
    """The verdicts on these lines; a row's number is its line's."""
    unreadable: list[Rejection] = []
    verdicts = ingest(_rows(lines, unreadable=unreadable), now=now, kind=kind)
    verdicts.reject(unreadable)
    return verdicts


def _rows(lines: Iterable[Line], *, unreadable: list[Rejection]) -> Iterator[tuple[int, Any]]:
    for line in lines:
        if line.text is None:
            detail = f"has {line.size} bytes; the limit is {LONGEST_LINE}"
            unreadable.append(Rejection(line.number, "", detail))
        elif line.text.strip():
            try:
                yield line.number, orjson.loads(line.text)
            except orjson.JSONDecodeError as error:
                unreadable.append(Rejection(line.number, "", f"is not JSON: {error.msg}"))
