"""Taking in files of rows in batches, with the bad records set aside."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from deployment.stats.ingest import Intake, prepare, take_in
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.reading_ahead import Ahead, Batch, Stretch, parsed
from deployment.stats.records import Record
from kernel.db.connections import OPERATIONAL_ERRORS, is_deadlock

# Folding costs the same for few rows and for many. While a group is under way no hour is made or
# dropped, and what waits to do so keeps others from bringing in rows: it must not last.
GROUP_ROWS = 100_000
GROUP_BYTES = 128 * 1024 * 1024
GROUP_SECONDS = 3.0
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

    def add(self, group: Group) -> None:
        self.records += group.records
        self.accepted += group.accepted
        self.duplicate += group.duplicate
        self.rejected += len(group.rejected)


@dataclass(slots=True)
class Group:
    """What becomes of the records that go in with one transaction. Units: `size` bytes.

    `checksum` is of all records of the file up to the last of these.
    """

    records: int = 0
    checksum: int = 0
    size: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: list[tuple[Rejection, bytes]] = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        return self.records < GROUP_ROWS and self.size < GROUP_BYTES

    def add(self, stretch: Stretch, verdicts: Verdicts) -> None:
        records, size, self.checksum = stretch
        self.records += len(records)
        self.size += size
        self.accepted += verdicts.accepted
        self.duplicate += verdicts.duplicate
        if verdicts.rejected:
            texts = {record.number: record.text for record in records}
            self.rejected += [(each, texts[each.row]) for each in verdicts.rejected]


def import_records(
    records: Iterable[Record],
    *,
    kind: str,
    clock: Callable[[], datetime],
    advance: Callable[[int, int], Any],
    set_aside: Callable[[Rejection, bytes], Any],
    checksum: int = 0,
) -> ImportCounts:
    """Takes in every good record, some batches together in a transaction.

    `set_aside` hears of each bad record, and then `advance` of how many records were committed, and
    of the checksum of all up to there. `checksum` is of those before the first.
    """
    counts = ImportCounts()
    ahead = Ahead(records, kind=kind, clock=clock, checksum=checksum)
    for group in _committed_groups(ahead, kind=kind, clock=clock):
        for rejection, text in group.rejected:
            set_aside(rejection, text)
        counts.add(group)
        advance(group.records, group.checksum)
    return counts


def _committed_groups(ahead: Ahead, *, kind: str, clock: Callable[[], datetime]) -> Iterator[Group]:
    while first := ahead.take():
        group = Group()
        taken: list[Stretch] = []
        prepare(first.parsed, now=clock())
        try:
            with transaction.atomic():
                _take_in_group(group, first, ahead, taken=taken, clock=clock)
        except OPERATIONAL_ERRORS as error:
            if not is_deadlock(error):
                raise
            # Another transaction brings in some of the same rows, in another order. A batch alone
            # has its rows in order.
            yield from _one_by_one(taken, kind=kind, clock=clock)
        else:
            taken.clear()
            yield group


def _take_in_group(
    group: Group,
    first: Batch,
    ahead: Ahead,
    *,
    taken: list[Stretch],
    clock: Callable[[], datetime],
) -> None:
    """Takes in the first batch and others of its hours, as many as a transaction is to hold.

    What is slow to come, or cannot be read, is left to the next: nothing waits for it in between.
    `taken` gets what it takes in.
    """
    intake, ends = Intake(), time.monotonic() + GROUP_SECONDS
    batch: Batch | None = first
    while batch:
        taken.append(batch.stretch)
        group.add(batch.stretch, intake.take(batch.parsed, now=clock()))
        batch = ahead.take_if_there(first.parsed.hours, until=ends) if group.has_room else None
    intake.fold()


def _one_by_one(
    stretches: Iterable[Stretch], *, kind: str, clock: Callable[[], datetime]
) -> Iterator[Group]:
    for stretch in stretches:
        group = Group()
        group.add(stretch, take_in(parsed(stretch.records, kind=kind), now=clock()))
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
