"""Imports of files: rows are parsed in another thread while the database takes in those before.

Each batch is a transaction of its own. An import that was stopped is simply run again: rows that
are known count once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from kernel.lines import (
    BadLines,
    LinesError,
    Progress,
    Record,
    Source,
    beside,
    failures_named,
    opened,
    records,
)
from stats.ingest.rows import Numbered, Rejection, RowError, Verdicts, from_text
from stats.ingest.taking import MEMBERS, Parsed, parse, take_in
from stats.rollups.hours import HOUR
from stats.services import backfill

BATCH_ROWS = 10_000
BATCH_BYTES = 32 * 1024 * 1024


class ImportCommand(BaseCommand):
    kind: ClassVar[str]
    things: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            help="JSON lines, or CSV with a header where the name says .csv; unpacked where it "
            "ends in .gz or .zst; - is standard input.",
        )
        parser.add_argument(
            "--rejected",
            type=Path,
            help="Where bad lines go, with number and reason; FILE.rejected by default.",
        )

    def handle(self, *, file: str, rejected: Path | None, **options: Any) -> str:
        aside = rejected or beside(file)
        try:
            with (
                failures_named(file),
                opened(file) as source,
                BadLines(aside, source=source) as bad,
                Progress(source) as progress,
            ):
                taken = Taken(self.kind)
                for batch, verdicts in taken.batches(source):
                    _set_aside(batch, verdicts.rejected, bad)
                    progress.advance(len(batch))
                filled = taken.backfill(timezone.now())
        except LinesError as error:
            raise CommandError(str(error)) from None
        return self._summary(taken.verdicts, bad, filled)

    def _summary(self, verdicts: Verdicts, bad: BadLines, filled: int) -> str:
        summary = (
            f"{verdicts.accepted} {self.things} taken in, "
            f"{verdicts.duplicate} known already, {bad.count} bad"
        )
        summary += f" (see {bad.path})." if bad.count else "."
        if bad.count and not verdicts.accepted and not verdicts.duplicate:
            raise CommandError(f"Nothing was taken in. {summary}")
        return f"{summary} {filled} snapshots of the past were taken." if filled else summary


def _set_aside(batch: Sequence[Record], rejected: Iterable[Rejection], bad: BadLines) -> None:
    by_number = {record.number: record for record in batch} if rejected else {}
    for each in rejected:
        bad.add(by_number[each.row], each.detail, field=each.field)


class Taken:
    """Takes in a file, and remembers which hours its rows are of."""

    def __init__(self, kind: str) -> None:
        self.verdicts = Verdicts()
        self._kind = kind
        self._hours: set[datetime] = set()

    def batches(self, source: Source) -> Iterator[tuple[Sequence[Record], Verdicts]]:
        """Yields each batch when it is committed."""
        found = _batches(records(source, columns=[m.name for m in MEMBERS[self._kind]]))
        following = _begun(found, self._kind)
        while (this := following.result()) is not None:
            following = _begun(found, self._kind)
            batch, parsed = this
            verdicts = take_in(parsed, now=timezone.now())
            self.verdicts.accepted += verdicts.accepted
            self.verdicts.duplicate += verdicts.duplicate
            self._hours |= parsed.agents.hours
            yield batch, verdicts

    def backfill(self, now: datetime) -> int:
        """Takes the snapshots that are missing of hours that are over. Returns their number.

        Rows that were known count, too: an import may have been stopped before.
        """
        over = {hour for hour in self._hours if hour + HOUR <= now}
        if not over:
            return 0
        missing = backfill(min(over), max(over) + HOUR, now=now)
        return sum(1 for _ in tqdm(missing, desc="snapshots", unit="", disable=None))


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
            future.set_result(None if batch is None else (batch, parsed(batch, kind=kind)))
        except BaseException as error:  # noqa: BLE001 - whoever wants the result gets it
            future.set_exception(error)

    Thread(target=run, name="parse", daemon=True).start()
    return future


def parsed(batch: Sequence[Record], *, kind: str) -> Parsed:
    """Parses the records; a row's number is its record's."""
    unreadable: list[Rejection] = []
    found = parse(list(_readable(batch, kind, unreadable=unreadable)), kind=kind)
    found.rejected.extend(unreadable)
    return found


def _readable(
    batch: Iterable[Record], kind: str, *, unreadable: list[Rejection]
) -> Iterator[Numbered]:
    for record in batch:
        try:
            yield record.number, _row(record, kind)
        except RowError as error:
            unreadable.append(Rejection(record.number, error.field, error.detail))


def _row(record: Record, kind: str) -> Any:
    """Returns the value that should be a row. Raises: RowError."""
    if record.error:
        raise RowError("", record.error)
    if record.values is not None:
        return from_text(record.values, members=MEMBERS[kind])
    try:
        return orjson.loads(record.text)
    except orjson.JSONDecodeError as error:
        raise RowError("", f"is not JSON: {error.msg}") from None
