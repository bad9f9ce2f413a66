"""Imports files that were exported from Coder's database, as CSV with a header or as JSON lines.

While the database stores one batch, a thread parses the next batch.

Each batch is one transaction. To continue a stopped import, run the command again. Duplicates count
once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.utils import timezone
from tqdm import tqdm

from kernel.commands.line_imports import (
    BadLines,
    ImportResult,
    LinesCommand,
    LinesError,
    Progress,
    Record,
    Source,
    records,
)
from kernel.futures import Pool
from kernel.text.humanize import plural
from stats.ingest.ingestion import (
    AGENT,
    KNOWN,
    MEMBERS,
    WORKSPACE,
    Parsed,
    minutes_of,
    parse,
    store,
)
from stats.ingest.members import BY_NAME, REQUIRED, TIME, Member
from stats.ingest.rows import (
    IngestResult,
    Numbered,
    RowError,
    from_text,
    parse_json,
    quoted,
    usual_csv,
)
from stats.models import HOUR, KIND_COLUMNS
from stats.rollups.hours import hours_of
from stats.services import backfill

FORMATS = """\
The file has one of two formats. The first line of the file decides which format it is:

JSON lines, as row_to_json writes them:

{json}

CSV with a header, as COPY ... CSV HEADER writes it. The separator is a comma, semicolon or tab:

{csv}
Columns may be in any order. Required columns: {needed}.
All other columns may be missing, empty or null, but CSV of agent rows needs the columns with the
numbers of sessions. Unknown columns are ignored.
docs/stats.md shows how to export such files from Coder's database."""
# At most MAX_LISTED unknown columns are listed in the message. After MAX_UNKNOWN columns, no
# further columns are counted.
MAX_LISTED = 10
MAX_UNKNOWN = 1_000
# Columns that exist only in files of workspace states.
STATE_NAMES = frozenset({"build_number", "transition", "deleted"})
BATCH_ROWS = 5_000
BATCH_BYTES = 32 * 1024 * 1024

type Batch = tuple[Sequence[Record], Parsed]


class ImportCommand(LinesCommand):
    """The base class of both imports. `unknown` contains the names of unknown columns."""

    kind: ClassVar[str]
    thing: ClassVar[str]

    def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
        self.unknown: set[str] = set()
        total, hours = IngestResult(), set[datetime]()
        for batch, parsed in self._parsed_batches(source):
            result = store(parsed, now=timezone.now())
            by_number = {record.number: record for record in batch} if result.rejections else {}
            for rejection in result.rejections:
                bad.add(by_number[rejection.row_number], rejection.detail, field=rejection.field)
            total.accepted += result.accepted
            total.duplicates += result.duplicates
            # Include the hours of duplicates, because an earlier import may have stopped before it
            # took the snapshots.
            hours |= hours_of(minutes_of(parsed.agents))
            progress.advance(len(batch))
        message = f"{plural(total.accepted, self.thing)} imported, "
        message += f"{plural(total.duplicates, 'duplicate')}.{self._ignored()}"
        if backfilled := _backfill(hours, now=timezone.now()):
            message += f" {plural(backfilled, 'snapshot')} backfilled."
        return ImportResult(message, good=total.accepted + total.duplicates)

    def _ignored(self) -> str:
        if not self.unknown:
            return ""
        names = ", ".join(map(quoted, sorted(self.unknown)[:MAX_LISTED]))
        end = ", …" if len(self.unknown) > MAX_LISTED else "."
        return f" {plural(len(self.unknown), 'unknown column')} ignored: {names}{end}"

    def _parsed_batches(self, source: Source) -> Iterator[Batch]:
        """Yields each batch of the file. While the caller stores it, a thread parses the next."""
        names = [member.name for member in MEMBERS[self.kind]]
        needed, usual = _needed(self.kind), usual_csv if self.kind == AGENT else None
        lines = records(source, columns=names, needed=needed, check=self._check_header, usual=usual)
        # Python does not wait for a thread of the pool. So Ctrl-C stops the command, even if the
        # thread is waiting for input from a pipe.
        pool, parse_next = Pool(1, name="parse"), partial(self._parse_next, _batches(lines))
        following = pool.submit("", parse_next)
        while (current := following.result()) is not None:
            following = pool.submit("", parse_next)
            yield current
        pool.stop()

    def _parse_next(self, batches: Iterator[Sequence[Record]]) -> Batch | None:
        batch = next(batches, None)
        return None if batch is None else (batch, parse(self._rows(batch), kind=self.kind))

    def _rows(self, batch: Sequence[Record]) -> Iterator[Numbered]:
        """Yields the number and the value of each record. Checks the names of its members."""
        width = -1
        for record in batch:
            value = record.row or _value(record, MEMBERS[self.kind])
            # All objects of a file have the same members. So check the names only if their number
            # changes. The names of CSV columns were checked in the header.
            if record.values is None and isinstance(value, dict) and len(value) != width:
                width = len(value)
                self._check(value, record.number)
            yield record.number, value

    def _check_header(self, names: Collection[str], number: int) -> None:
        """Checks the columns of CSV as `_check` does. Raises: LinesError without sessions.

        Without this check, a query that omits the columns would set all sessions to 0.
        """
        self._check(names, number)
        is_complete = self.kind == AGENT and set(_needed(AGENT)) <= {*names}
        # Coder's table has one or the other, depending on its release.
        if is_complete and BY_NAME not in names and not {*names} >= {*KIND_COLUMNS}:
            raise LinesError(
                f"Line {number} has no columns with the numbers of sessions. Export {BY_NAME}, or "
                f"all of {', '.join(sorted(KIND_COLUMNS))}."
            )

    def _check(self, names: Collection[str], number: int) -> None:
        """Adds unknown names to `unknown`. Raises: LinesError for columns of the other kind."""
        if len(self.unknown) < MAX_UNKNOWN:
            self.unknown |= {*names} - KNOWN[self.kind]
        if self.kind == WORKSPACE and "agent_id" in names:
            thing, command = "agent rows", "import_agent_stats"
        elif self.kind == AGENT and STATE_NAMES.intersection(names) and "agent_id" not in names:
            thing, command = "workspace states", "import_workspaces"
        else:
            return
        raise LinesError(f"Line {number} has the columns of {thing}. Use {command} instead.")


def formats(kind: str, example: Mapping[str, Any]) -> str:
    """Describes both file formats for `--help`, with an example."""
    members = [member for member in MEMBERS[kind] if member.name in example]
    row = {member.name: example[member.name] for member in members}
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        [row, [_csv_value(row[member.name], member) for member in members]]
    )
    needed = ", ".join(_needed(kind))
    return FORMATS.format(json=json.dumps(row), csv=table.getvalue(), needed=needed)


def _needed(kind: str) -> list[str]:
    return [member.name for member in MEMBERS[kind] if member.default is REQUIRED]


def _csv_value(value: Any, member: Member) -> str:
    """Formats a value as PostgreSQL does in CSV."""
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case dict():
            return json.dumps(value)
    return value.replace("T", " ").replace("Z", "+00") if member.kind is TIME else str(value)


def _backfill(hours: set[datetime], *, now: datetime) -> int:
    """Creates the missing snapshots from the first to the last of `hours`. Returns their number."""
    past = {hour for hour in hours if hour <= now}
    if not past:
        return 0
    backfilled = backfill(min(past), max(past) + HOUR, now=now)
    return sum(1 for _ in tqdm(backfilled, desc="snapshots", unit="", disable=None))


def _batches(lines: Iterable[Record]) -> Iterator[Sequence[Record]]:
    """Groups the records into batches. If reading fails, yields the last batch, then raises."""
    batch: list[Record] = []
    size = 0
    try:
        for record in lines:
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


def _value(record: Record, members: tuple[Member, ...]) -> Any:
    """Returns the unvalidated value of a record, or a RowError."""
    if record.error:
        return RowError("", record.error)
    if record.values is not None:
        return from_text(record.values, members=members)
    value = parse_json(record.text)
    if isinstance(value, RowError) and b"\\\\" in record.text:
        # The text format of COPY doubles every backslash, so JSON with escaped quotes becomes
        # invalid.
        return parse_json(record.text.replace(b"\\\\", b"\\"))
    return value
