"""Taking in files of rows in batches, with the bad records set aside."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import batched
from typing import Any

from django.db import transaction

from coderapi.database import OPERATIONAL_ERRORS, is_deadlock
from deployment.stats.ingest import (
    Intake,
    Parsed,
    made_ready,
    parse,
    prepare,
    take_in,
)
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.records import Record
from deployment.stats.rows import Numbered

BATCH_ROWS = 10_000
# Folding costs the same for few rows and for many. While a group is under way no hour is dropped,
# and what waits to drop one keeps others from bringing in rows: it must not last.
GROUP_ROWS = 100_000
GROUP_SECONDS = 3.0
# Rows by the thousand are made and let go, none of them in a cycle. To look for such cycles as
# often as usual takes a quarter of all the time.
COLLECT_EVERY = 200_000
# The thread that feeds the database asks a hundred times a batch to run for a moment. Each time the
# one that parses would keep it, and the database, waiting for 5 ms.
SWITCH_SECONDS = 0.0005


type Batch = tuple[Record, ...]


@dataclass(slots=True)
class ImportCounts:
    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0

    def add(self, group: Group) -> None:
        self.records += group.records
        self.accepted += group.accepted
        self.duplicate += group.duplicate
        self.rejected += len(group.rejected)


@dataclass(slots=True)
class Group:
    """Batches that go in with one transaction, and what becomes of their records."""

    batches: list[Batch] = field(default_factory=list)
    records: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: list[tuple[Rejection, bytes]] = field(default_factory=list)

    def add(self, batch: Batch, verdicts: Verdicts) -> None:
        self.records += len(batch)
        self.accepted += verdicts.accepted
        self.duplicate += verdicts.duplicate
        if verdicts.rejected:
            texts = {record.number: record.text for record in batch}
            self.rejected += [(each, texts[each.row]) for each in verdicts.rejected]


class Ahead:
    """Batches that are read and parsed while the database is busy with those before them."""

    def __init__(self, parsed: Iterator[tuple[Batch, Parsed]]) -> None:
        self._parsed = parsed
        self._next: tuple[Batch, Parsed] | None = None

    def look(self) -> tuple[Batch, Parsed] | None:
        """The next batch, which stays the next; None after the last."""
        self._next = self._next or next(self._parsed, None)
        return self._next

    def go_on(self) -> None:
        self._next = None


def import_records(
    records: Iterable[Record],
    *,
    kind: str,
    clock: Callable[[], datetime],
    advance: Callable[[int], Any],
    set_aside: Callable[[Rejection, bytes], Any],
) -> ImportCounts:
    """Takes in every good record, some batches together in a transaction.

    `set_aside` hears of each bad record, and then `advance` of how many records were committed.
    """
    counts = ImportCounts()
    with closing(_parsed_ahead(batched(records, BATCH_ROWS), kind=kind, clock=clock)) as parsed:
        for group in _taken_in(Ahead(parsed), kind=kind, clock=clock):
            for rejection, text in group.rejected:
                set_aside(rejection, text)
            counts.add(group)
            advance(group.records)
    return counts


def _taken_in(ahead: Ahead, *, kind: str, clock: Callable[[], datetime]) -> Iterator[Group]:
    """The groups of batches, each when it is committed."""
    while upcoming := ahead.look():
        group = Group()
        prepare(upcoming[1], now=clock())
        try:
            with transaction.atomic():
                _take_in_group(group, ahead, hours=upcoming[1].hours, clock=clock)
        except OPERATIONAL_ERRORS as error:
            if not is_deadlock(error):
                raise
            # Another transaction brings in some of the same rows, in another order. A batch alone,
            # whose rows have an order, waits for it.
            yield from _one_by_one(group.batches, kind=kind, clock=clock)
        else:
            yield group


def _take_in_group(
    group: Group, ahead: Ahead, *, hours: set[datetime], clock: Callable[[], datetime]
) -> None:
    """Takes in batches of these hours, which were prepared, up to what a transaction is to hold."""
    intake, ends = Intake(), time.monotonic() + GROUP_SECONDS
    while upcoming := ahead.look():
        batch, parsed = upcoming
        if not parsed.hours <= hours:
            break
        ahead.go_on()
        group.batches.append(batch)
        group.add(batch, intake.take(parsed, now=clock()))
        if group.records >= GROUP_ROWS or time.monotonic() >= ends:
            break
    intake.fold()


def _one_by_one(
    batches: Iterable[Batch], *, kind: str, clock: Callable[[], datetime]
) -> Iterator[Group]:
    for batch in batches:
        group = Group()
        group.add(batch, take_in(_parsed(batch, kind=kind), now=clock()))
        yield group


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
    batches: Iterator[Batch], *, kind: str, clock: Callable[[], datetime]
) -> Generator[tuple[Batch, Parsed]]:
    """The batches; while the database is busy with one, the next is read and parsed."""

    def following() -> tuple[Batch, Parsed]:
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
