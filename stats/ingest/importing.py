"""Imports of files: rows are parsed in another thread while the database takes in those before.

Each batch is a transaction of its own. An import that was stopped is simply run again: rows that
are known count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from threading import Thread
from typing import Any, ClassVar

from django.utils import timezone
from tqdm import tqdm

from kernel.lines import BadLines, LinesCommand, Progress, Record, Source, Taken, records
from stats.ingest.rows import RowError, Verdicts, from_text, parse_json
from stats.ingest.taking import MEMBERS, Parsed, minutes_of, parse, take_in
from stats.rollups.hours import HOUR, hours_of
from stats.services import backfill

BATCH_ROWS = 10_000
BATCH_BYTES = 32 * 1024 * 1024


class ImportCommand(LinesCommand):
    kind: ClassVar[str]
    things: ClassVar[str]

    def take_in(self, source: Source, *, bad: BadLines, progress: Progress) -> Taken:
        taken, hours = Verdicts(), set[datetime]()
        for batch, parsed in parsed_batches(source, self.kind):
            verdicts = take_in(parsed, now=timezone.now())
            _set_aside(batch, verdicts, bad)
            taken.accepted += verdicts.accepted
            taken.duplicate += verdicts.duplicate
            # Of known rows, too: an import may have been stopped before its snapshots.
            hours |= hours_of(minutes_of(parsed.agents))
            progress.advance(len(batch))
        said = f"{taken.accepted} {self.things} taken in, {taken.duplicate} known already."
        if filled := _backfill(hours, now=timezone.now()):
            said += f" {filled} snapshots of the past were taken."
        return Taken(said, good=taken.accepted + taken.duplicate)


def _set_aside(batch: Sequence[Record], verdicts: Verdicts, bad: BadLines) -> None:
    by_number = {record.number: record for record in batch} if verdicts.rejected else {}
    for each in verdicts.rejected:
        bad.add(by_number[each.row], each.detail, field=each.field)


def _backfill(hours: set[datetime], *, now: datetime) -> int:
    """Takes the snapshots that are missing of hours that are over. Returns their number."""
    over = {hour for hour in hours if hour + HOUR <= now}
    if not over:
        return 0
    missing = backfill(min(over), max(over) + HOUR, now=now)
    return sum(1 for _ in tqdm(missing, desc="snapshots", unit="", disable=None))


def parsed_batches(source: Source, kind: str) -> Iterator[tuple[Sequence[Record], Parsed]]:
    """Yields each batch of the file's records, and their rows, while the next one is parsed."""
    batches = _batches(records(source, columns=[member.name for member in MEMBERS[kind]]))
    following = _begun(batches, kind)
    while (this := following.result()) is not None:
        following = _begun(batches, kind)
        yield this


def _batches(found: Iterable[Record]) -> Iterator[Sequence[Record]]:
    """Cuts the records into batches. Those before a break of the file are a batch as well."""
    batch: list[Record] = []
    size = 0
    try:
        for record in found:
            batch.append(record)
            size += len(record.text)
            if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


type Ready = tuple[Sequence[Record], Parsed] | None


def _begun(batches: Iterator[Sequence[Record]], kind: str) -> Future[Ready]:
    """Parses the next batch in a thread that nobody has to wait for: it may be reading a pipe."""
    future: Future[Ready] = Future()

    def run() -> None:
        try:
            batch = next(batches, None)
            rows = ((record.number, _value(record, kind)) for record in batch or ())
            future.set_result(None if batch is None else (batch, parse(rows, kind=kind)))
        except BaseException as error:  # noqa: BLE001 - whoever wants the result gets it
            future.set_exception(error)

    Thread(target=run, name="parse", daemon=True).start()
    return future


def _value(record: Record, kind: str) -> Any:
    """Returns the value that should be a row, or a RowError."""
    if record.error:
        return RowError("", record.error)
    if record.values is not None:
        return from_text(record.values, members=MEMBERS[kind])
    return parse_json(record.text)
