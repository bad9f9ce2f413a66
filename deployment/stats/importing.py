"""Taking in files of rows in batches, with the bad records set aside."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any

from deployment.stats.ingest import Parsed, made_ready, parse, take_in
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.records import Record
from deployment.stats.rows import Numbered

BATCH_ROWS = 20_000
# Rows by the thousand are made and let go, none of them in a cycle. To look for such cycles as
# often as usual takes a quarter of all the time.
COLLECT_EVERY = 200_000
# The thread that feeds the database asks a hundred times a batch to run for a moment. Each time the
# one that parses would keep it, and the database, waiting for 5 ms.
SWITCH_SECONDS = 0.0005


@dataclass(slots=True)
class ImportCounts:
    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0

    def add(self, records: int, verdicts: Verdicts) -> None:
        self.records += records
        self.accepted += verdicts.accepted
        self.duplicate += verdicts.duplicate
        self.rejected += len(verdicts.rejected)


def import_records(
    records: Iterable[Record],
    *,
    kind: str,
    clock: Callable[[], datetime],
    advance: Callable[[int], Any],
    set_aside: Callable[[Rejection, bytes], Any],
) -> ImportCounts:
    """Takes in every good record, each batch in a transaction of its own.

    `set_aside` hears of each bad record, and then `advance` of how many the committed batch had.
    """
    counts = ImportCounts()
    ahead = _parsed_ahead(batched(records, BATCH_ROWS), kind=kind, clock=clock)
    with closing(ahead) as batches:
        for batch, parsed in batches:
            verdicts = take_in(parsed, now=clock())
            texts = {record.number: record.text for record in batch} if verdicts.rejected else {}
            for rejection in verdicts.rejected:
                set_aside(rejection, texts[rejection.row])
            counts.add(len(batch), verdicts)
            advance(len(batch))
    return counts


@contextmanager
def seldom_collecting_and_soon_switching() -> Iterator[None]:
    """Lets the whole process look for garbage seldom, and its threads take turns soon.

    That is for a process which does nothing else than taking in records.
    """
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(COLLECT_EVERY, *threshold[1:])
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)


def _parsed_ahead(
    batches: Iterator[tuple[Record, ...]], *, kind: str, clock: Callable[[], datetime]
) -> Generator[tuple[tuple[Record, ...], Parsed]]:
    """The batches; while the database is busy with one, the next is read and parsed."""

    def following() -> tuple[tuple[Record, ...], Parsed]:
        batch = next(batches, ())
        return batch, made_ready(_parsed(batch, kind=kind), now=clock())

    with ThreadPoolExecutor(1, thread_name_prefix="parse") as pool:
        upcoming = pool.submit(following)
        while (found := upcoming.result())[0]:
            upcoming = pool.submit(following)
            yield found


def _parsed(records: Sequence[Record], *, kind: str) -> Parsed:
    """The records' values; a row's number is its record's."""
    unreadable: list[Rejection] = []
    parsed = parse(_rows(records, unreadable=unreadable), kind=kind)
    parsed.rejected.extend(unreadable)
    return parsed


def _rows(records: Sequence[Record], *, unreadable: list[Rejection]) -> Iterable[Numbered]:
    try:
        return [(record.number, record.reader(record.text)) for record in records]
    except ValueError:
        return _readable(records, unreadable=unreadable)


def _readable(records: Iterable[Record], *, unreadable: list[Rejection]) -> Iterator[Numbered]:
    for record in records:
        try:
            yield record.number, record.read()
        except ValueError as error:
            unreadable.append(Rejection(record.number, getattr(error, "field", ""), str(error)))
