"""Taking in files of rows in batches, with the bad records set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any

from deployment.stats.ingest import ingest
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.records import Record

BATCH_ROWS = 20_000


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
    for batch in batched(records, BATCH_ROWS):
        verdicts = import_batch(batch, kind=kind, now=clock())
        texts = {record.number: record.text for record in batch}
        for rejection in verdicts.rejected:
            set_aside(rejection, texts[rejection.row])
        counts.add(len(batch), verdicts)
        advance(len(batch))
    return counts


def import_batch(records: Iterable[Record], *, kind: str, now: datetime) -> Verdicts:
    """The verdicts on these records; a row's number is its record's."""
    unreadable: list[Rejection] = []
    verdicts = ingest(_rows(records, unreadable=unreadable), now=now, kind=kind)
    verdicts.reject(unreadable)
    return verdicts


def _rows(records: Iterable[Record], *, unreadable: list[Rejection]) -> Iterator[tuple[int, Any]]:
    for record in records:
        try:
            yield record.number, record.read()
        except ValueError as error:
            unreadable.append(Rejection(record.number, getattr(error, "field", ""), str(error)))
