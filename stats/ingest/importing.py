"""Imports of files, as Coder's database writes them: CSV with a header, or JSON lines.

Rows are parsed in another thread while the database takes in those before.

Each batch is a transaction of its own. An import that was stopped is simply run again: rows that
are known count once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from threading import Thread
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework.fields import DateTimeField, Field
from tqdm import tqdm

from kernel.http.rendering import WireSerializer
from kernel.lines import (
    BadLines,
    ImportResult,
    LinesCommand,
    LinesError,
    Progress,
    Record,
    Source,
    records,
)
from stats.ingest.ingestion import AGENT, MEMBERS, WORKSPACE, Parsed, minutes_of, parse, take_in
from stats.ingest.rows import (
    REQUIRED,
    Member,
    Numbered,
    RowError,
    Verdicts,
    from_text,
    parse_json,
    shown,
)
from stats.rollups.hours import HOUR, hours_of
from stats.services import backfill

FORMATS = """\
A file has one of two forms, which its first line tells:

JSON lines, as row_to_json writes them:

{json}

CSV with a header, as COPY ... CSV HEADER writes it, with commas, semicolons or tabs:

{csv}
Columns come in any order. Needed: {needed}.
What else is missing, empty or null counts as none. Unknown columns are ignored.
docs/stats.md shows how to export such files from Coder's database."""
# So many names of unknown columns are shown, and about so many counted.
MAX_NAMES = 10
MAX_UNKNOWN = 1_000
# Columns that tell the states of workspaces from agent rows.
STATE_NAMES = frozenset({"build_number", "transition", "deleted"})
BATCH_ROWS = 10_000
BATCH_BYTES = 32 * 1024 * 1024


class ImportCommand(LinesCommand):
    kind: ClassVar[str]
    thing: ClassVar[str]

    def ingest(self, source: Source, *, bad: BadLines, progress: Progress) -> ImportResult:
        taken, hours, unknown = Verdicts(), set[datetime](), set[str]()
        for batch, parsed in parsed_batches(source, self.kind, unknown=unknown):
            verdicts = take_in(parsed, now=timezone.now())
            _set_aside(batch, verdicts, bad)
            taken.accepted += verdicts.accepted
            taken.duplicate += verdicts.duplicate
            # Of known rows, too: an import may have been stopped before its snapshots.
            hours |= hours_of(minutes_of(parsed.agents))
            progress.advance(len(batch))
        said = f"{_counted(taken.accepted, self.thing)} taken in, {taken.duplicate} known already."
        if unknown:
            said += _ignored(unknown)
        if filled := _backfill(hours, now=timezone.now()):
            said += f" {filled} snapshots of the past were taken."
        return ImportResult(said, good=taken.accepted + taken.duplicate)


def _ignored(unknown: set[str]) -> str:
    names = ", ".join(map(shown, sorted(unknown)[:MAX_NAMES]))
    end = ", …" if len(unknown) > MAX_NAMES else "."
    return f" {_counted(len(unknown), 'unknown column')} ignored: {names}{end}"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def formats(serializer: type[WireSerializer]) -> str:
    """Describes for `--help` a file of such rows, with the serializer's example in both forms."""
    example = {name: value for name, value in serializer.example.items() if name != "kind"}
    fields = serializer().fields
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        [example, [_as_copied(value, fields[name]) for name, value in example.items()]]
    )
    needed = ", ".join(name for name in example if fields[name].required)
    return FORMATS.format(json=json.dumps(example), csv=table.getvalue(), needed=needed)


def _as_copied(value: Any, field: Field[Any, Any, Any, Any]) -> str:
    """Writes a value as PostgreSQL does in CSV."""
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case dict():
            return json.dumps(value)
    is_time = isinstance(field, DateTimeField)
    return value.replace("T", " ").replace("Z", "+00") if is_time else str(value)


def _set_aside(batch: Sequence[Record], verdicts: Verdicts, bad: BadLines) -> None:
    by_number = {record.number: record for record in batch} if verdicts.rejected else {}
    for each in verdicts.rejected:
        bad.add(by_number[each.row], each.detail, field=each.field)


def _backfill(hours: set[datetime], *, now: datetime) -> int:
    """Takes the snapshots that are missing of these hours so far. Returns their number."""
    begun = {hour for hour in hours if hour <= now}
    if not begun:
        return 0
    missing = backfill(min(begun), max(begun) + HOUR, now=now)
    return sum(1 for _ in tqdm(missing, desc="snapshots", unit="", disable=None))


def parsed_batches(
    source: Source, kind: str, *, unknown: set[str]
) -> Iterator[tuple[Sequence[Record], Parsed]]:
    """Yields each batch of the file's records, and their rows, while the next one is parsed.

    Adds the names of unknown columns to `unknown`.
    """
    members = MEMBERS[kind]
    needed = [member.name for member in members if member.default is REQUIRED]
    names, check = [member.name for member in members], partial(_check_kind, kind=kind)
    found = records(source, columns=names, needed=needed, check=check)
    batches = _batches(found)
    following = _begun(batches, kind, unknown)
    while (this := following.result()) is not None:
        following = _begun(batches, kind, unknown)
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


def _begun(batches: Iterator[Sequence[Record]], kind: str, unknown: set[str]) -> Future[Ready]:
    """Parses the next batch in a thread that nobody has to wait for: it may be reading a pipe."""
    future: Future[Ready] = Future()

    def run() -> None:
        try:
            batch = next(batches, None)
            rows = _rows(batch or (), kind, unknown)
            future.set_result(None if batch is None else (batch, parse(rows, kind=kind)))
        except BaseException as error:  # noqa: BLE001 - whoever wants the result gets it
            future.set_exception(error)

    Thread(target=run, name="parse", daemon=True).start()
    return future


def _rows(batch: Sequence[Record], kind: str, unknown: set[str]) -> Iterator[Numbered]:
    """Yields the records' values, and adds the names that are not known to `unknown`."""
    members, width = MEMBERS[kind], -1
    for record in batch:
        value = _value(record, members)
        columns = record.values or value
        # Rows of a file have the same columns: names are looked at where their number changes.
        if isinstance(columns, dict) and len(columns) != width:
            width = len(columns)
            _check_kind(columns, record.number, kind=kind)
            if len(unknown) < MAX_UNKNOWN:
                unknown.update(columns.keys() - {"kind", *[member.name for member in members]})
        yield record.number, value


def _check_kind(names: Collection[str], number: int, *, kind: str) -> None:
    """Raises: LinesError for columns of the other kind."""
    if kind == WORKSPACE and "agent_id" in names:
        thing, command = "agent rows", "import_agent_stats"
    elif kind == AGENT and STATE_NAMES.intersection(names) and "agent_id" not in names:
        thing, command = "workspace states", "import_workspaces"
    else:
        return
    raise LinesError(f"Line {number} has the columns of {thing}: use {command}.")


def _value(record: Record, members: tuple[Member, ...]) -> Any:
    """Returns the value that should be a row, or a RowError."""
    if record.error:
        return RowError("", record.error)
    if record.values is not None:
        return from_text(record.values, members=members)
    value = parse_json(record.text)
    if isinstance(value, RowError) and b"\\\\" in record.text:
        # COPY writes every backslash twice, so that the quotes within a text are no JSON.
        return parse_json(record.text.replace(b"\\\\", b"\\"))
    return value
