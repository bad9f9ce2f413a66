"""Sums a batch up by table: the rows that `csp_write_batch` takes, each kind ordered by key.

The order keeps two processes that write the same groups from waiting for each other for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from csp.noise.rules import Rule, Rules
from csp.writing.entries import Entry

NO_RULE = 0

type Row = dict[str, Any]
type HourKey = tuple[str, datetime, int]


class Judged(NamedTuple):
    """A report and the noise rule that matched it, if one did."""

    entry: Entry
    rule: Rule | None

    @property
    def hour_key(self) -> HourKey:
        return self.entry.group_id, self.entry.hour, self.rule.id if self.rule else NO_RULE


@dataclass(slots=True)
class GroupSum:
    """The sum of a batch's reports for one group."""

    first: Entry
    last: Entry
    count: int = 0
    noise: int = 0
    # An imported report without a version tells nothing about versions.
    first_known: Entry | None = None
    last_known: Entry | None = None

    def add(self, judged: Judged) -> None:
        entry, rule = judged
        self.count += 1
        self.noise += rule is not None
        if entry.received_at < self.first.received_at:
            self.first = entry
        if entry.received_at >= self.last.received_at:
            self.last = entry
        if entry.coder_version:
            self._know(entry)

    def _know(self, entry: Entry) -> None:
        if self.first_known is None or entry.received_at < self.first_known.received_at:
            self.first_known = entry
        if self.last_known is None or entry.received_at >= self.last_known.received_at:
            self.last_known = entry

    def row(self) -> Row:
        key = self.first.key
        return {
            "id": self.first.group_id,
            "directive": key.directive,
            "blocked": key.blocked,
            "document": key.document,
            "disposition": key.disposition,
            "first_seen": self.first.received_at,
            "last_seen": self.last.received_at,
            "count": self.count,
            "noise_count": self.noise,
            "first_version": self.first_known.coder_version if self.first_known else "",
            "last_version": self.last_known.coder_version if self.last_known else "",
        }


def judge(entries: Iterable[Entry], rules: Rules) -> list[Judged]:
    return [Judged(entry, rules.match(entry.facts)) for entry in entries]


def group_rows(batch: Sequence[Judged]) -> list[Row]:
    sums: dict[str, GroupSum] = {}
    for judged in batch:
        entry = judged.entry
        found = sums.get(entry.group_id)
        if found is None:
            found = sums[entry.group_id] = GroupSum(entry, entry)
        found.add(judged)
    return [sums[group_id].row() for group_id in sorted(sums)]


def report_rows(batch: Sequence[Judged], hours: Counter[HourKey]) -> list[Row]:
    """Returns the reports' rows, and counts in `hours` those of each group, hour and rule.

    `after` is how many of its hour come after a report: so its place in the hour is known once the
    database has counted.
    """
    rows: list[Row] = []
    for judged in reversed(batch):
        key = judged.hour_key
        rows.append({**judged.entry.row, "hour": key[1], "rule_id": key[2], "after": hours[key]})
        hours[key] += 1
    rows.reverse()
    return rows


def hour_rows(hours: Counter[HourKey]) -> list[Row]:
    return [
        {"group_id": group_id, "hour": hour, "rule_id": rule_id, "count": count}
        for (group_id, hour, rule_id), count in sorted(hours.items())
    ]


def hit_rows(batch: Sequence[Judged]) -> list[Row]:
    hits = Counter((rule.id, entry.received_at.date()) for entry, rule in batch if rule)
    return [
        {"rule_id": rule_id, "day": day, "count": count}
        for (rule_id, day), count in sorted(hits.items())
    ]


def names_of_rules(batch: Sequence[Judged]) -> Iterator[str]:
    """Yields the rule's name of each report that is noise."""
    return (rule.name for _, rule in batch if rule)
