"""Taking in a file of reports: JSON lines, each a body as a browser sends it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import Any, BinaryIO

from coderapi.errors import APIError
from csp.collection import entries_of
from csp.entries import Entry, prepare
from csp.parsers import parse
from csp.store import BatchId, Store
from csp.tolerant_json import load

BATCH_LINES = 1_000
LONGEST_LINE = 1024 * 1024
NAMESPACE = uuid.UUID("5b0f7f52-3c0e-4b7f-9f53-6a5b8f3b2a10")


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: bytes


@dataclass(slots=True)
class ImportCounts:
    lines: int = 0
    reports: int = 0
    repeated: int = 0
    bad: int = 0

    def __str__(self) -> str:
        return (
            f"{self.lines} lines: {self.reports} reports taken in, {self.repeated} had been "
            f"before, {self.bad} lines bad."
        )


def import_reports(
    source: BinaryIO,
    *,
    clock: Callable[[], datetime],
    advance: Callable[[int], Any],
    set_aside: Callable[[Line, str], Any],
) -> ImportCounts:
    """Takes in every good line; what an earlier run has committed is passed over.

    A batch is known by what it says and where, so the same file can be given again after a break.
    `advance(bytes)` hears of each batch that is committed, `set_aside` of each bad line.
    """
    counts, store = ImportCounts(), Store()
    try:
        for batch in batched(_lines(source), BATCH_LINES):
            _import_batch(store, batch, counts, now=clock(), set_aside=set_aside)
            advance(sum(len(line.text) for line in batch))
    finally:
        store.close()
    return counts


def _lines(source: BinaryIO) -> Iterator[Line]:
    number = 0
    while text := source.readline(LONGEST_LINE + 1):
        number += 1
        yield Line(number, text)
        while len(text) > LONGEST_LINE and not text.endswith(b"\n"):
            # The rest of a line that is too long; what came of it already says so.
            text = source.readline(LONGEST_LINE + 1)


def _import_batch(
    store: Store,
    batch: Sequence[Line],
    counts: ImportCounts,
    *,
    now: datetime,
    set_aside: Callable[[Line, str], Any],
) -> None:
    entries: list[Entry] = []
    for line in batch:
        if line.text.strip():
            try:
                entries += _entries(line.text, now)
            except APIError as error:
                counts.bad += 1
                set_aside(line, _why(error))
    counts.lines += len(batch)
    if not entries or store.commit_once(_batch_id(batch), entries):
        counts.reports += len(entries)
    else:
        counts.repeated += len(entries)


def _entries(text: bytes, now: datetime) -> list[Entry]:
    if len(text) > LONGEST_LINE:
        raise APIError(413, f"The line is longer than {LONGEST_LINE} bytes.")
    value = load(text)
    received = _received_at(value, now) if isinstance(value, dict) else now
    reports = map(prepare, parse(value).violations)
    return entries_of(reports, address="", user_agent="", now=received)


def _received_at(value: dict[str, Any], now: datetime) -> datetime:
    """The member `received_at` beside the report, where it is a time with zone that has passed."""
    try:
        moment = datetime.fromisoformat(value.get("received_at", ""))
    except (TypeError, ValueError):
        return now
    return moment.astimezone(UTC) if moment.tzinfo and moment <= now else now


def _why(error: APIError) -> str:
    details = [error.detail, *(f"{v.field} {v.detail}".strip() for v in error.validations)]
    return " ".join([error.message, *filter(None, details)])


def _batch_id(batch: Sequence[Line]) -> BatchId:
    digest = hashlib.sha256(b"%d\n" % batch[0].number)
    for line in batch:
        digest.update(line.text)
    return BatchId(uuid.uuid5(NAMESPACE, digest.hexdigest()), imported=True)
