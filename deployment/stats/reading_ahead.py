"""Reading and parsing records while the database is busy with those before."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from threading import Thread
from typing import NamedTuple, NoReturn

from deployment.stats.ingest import Parsed, made_ready, parse
from deployment.stats.outcome import Rejection
from deployment.stats.records import Record
from deployment.stats.rows import Numbered, RowError

BATCH_ROWS = 10_000
BATCH_BYTES = 32 * 1024 * 1024


class Stretch(NamedTuple):
    """Records in the order of the file, of which the last stretch has none.

    `checksum` is of all up to the last of them. Units: `size` bytes.
    """

    records: Sequence[Record]
    size: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A stretch, and what its records are."""

    stretch: Stretch
    parsed: Parsed


class Ahead:
    """The batches of a file, the next one always under way; `checksum` is of what is before."""

    def __init__(
        self,
        records: Iterable[Record],
        *,
        kind: str,
        clock: Callable[[], datetime],
        checksum: int = 0,
    ) -> None:
        self._records = iter(records)
        self._kind = kind
        self._clock = clock
        self._checksum = checksum
        self._next = _begun(self._following)

    def take(self) -> Batch | None:
        """The next batch, waited for; None after the last. Raises: what reading it raised."""
        batch = self._next.result()
        if not batch.stretch.records:
            return None
        self._next = _begun(self._following)
        return batch

    def take_if_there(self, hours: set[datetime], *, until: float) -> Batch | None:
        """The next batch if it is of these hours and there by then, of `time.monotonic`."""
        wait([self._next], timeout=max(0.0, until - time.monotonic()))
        if not self._next.done() or self._next.exception():
            return None
        return self.take() if self._next.result().parsed.hours <= hours else None

    def _following(self) -> Batch:
        records, size, error = _read(self._records)
        if error is not None:
            if not records:
                raise error
            # What was read before the break is as good as if there were none.
            self._records = map(_raised, [error])
        self._checksum = checksum(records, before=self._checksum)
        found = parsed(records, kind=self._kind)
        return Batch(Stretch(records, size, self._checksum), made_ready(found, now=self._clock()))


def _begun[T](make: Callable[[], T]) -> Future[T]:
    """What another thread makes. Who gives up need not wait for it: it may be reading a pipe."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(make())
        except BaseException as error:  # noqa: BLE001 - whoever wants the result gets it
            future.set_exception(error)

    Thread(target=run, name="parse", daemon=True).start()
    return future


def checksum(records: Iterable[Record], *, before: int = 0) -> int:
    """A checksum of the records' texts one after the other, after those that `before` is of."""
    for some in batched(records, BATCH_ROWS):
        before = zlib.crc32(b"".join([record.text for record in some]), before)
    return before


def _read(records: Iterator[Record]) -> tuple[list[Record], int, Exception | None]:
    """As many records as a batch takes, their size, and what was raised instead of another."""
    found: list[Record] = []
    size = 0
    try:
        for record in records:
            found.append(record)
            size += len(record.text)
            if len(found) == BATCH_ROWS or size >= BATCH_BYTES:
                break
    except Exception as error:  # noqa: BLE001 - the next batch raises it, whatever it is
        return found, size, error
    return found, size, None


def _raised(error: Exception) -> NoReturn:
    raise error


def parsed(records: Sequence[Record], *, kind: str) -> Parsed:
    """The records' values; a row's number is its record's."""
    unreadable: list[Rejection] = []
    found = parse(_rows(records, unreadable=unreadable), kind=kind)
    found.rejected.extend(unreadable)
    return found


def _rows(records: Sequence[Record], *, unreadable: list[Rejection]) -> Iterable[Numbered]:
    try:
        return [(record.number, record.reader(record.text)) for record in records]
    except ValueError:
        return _readable(records, unreadable=unreadable)


def _readable(records: Iterable[Record], *, unreadable: list[Rejection]) -> Iterator[Numbered]:
    for record in records:
        try:
            yield record.number, record.read()
        except RowError as error:
            unreadable.append(Rejection(record.number, error.field, error.detail))
        except ValueError as error:
            unreadable.append(Rejection(record.number, "", str(error)))
