"""What one batch adds up to: its groups, hourly counts, hits of rules and reach, each in key order.

The order keeps two processes that write the same groups from waiting for each other for ever.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from csp.entries import Entry
from csp.grouping import GroupKey
from csp.noise import Facts, Rule, Rules

NO_RULE = 0
KEPT_AN_HOUR = 1_000
KEPT_A_DOUBLING = 100

type HourKey = tuple[uuid.UUID, datetime, int]


@dataclass(frozen=True, slots=True)
class Judged:
    """A report and the noise rule that matched it, if one did."""

    entry: Entry
    rule: Rule | None

    @property
    def rule_id(self) -> int:
        return self.rule.id if self.rule else NO_RULE

    @property
    def hour_key(self) -> HourKey:
        return self.entry.group_id, self.entry.hour, self.rule_id


@dataclass(slots=True)
class GroupSum:
    key: GroupKey
    first: Entry
    last: Entry
    count: int = 0
    noise: int = 0

    def add(self, judged: Judged) -> None:
        self.count += 1
        self.noise += judged.rule is not None
        if judged.entry.received_at < self.first.received_at:
            self.first = judged.entry
        if judged.entry.received_at >= self.last.received_at:
            self.last = judged.entry


def judge(entries: Iterable[Entry], rules: Rules) -> list[Judged]:
    return [Judged(entry, rules.match(facts_of(entry))) for entry in entries]


def facts_of(entry: Entry) -> Facts:
    violation = entry.violation
    return Facts(
        blocked_uri=violation.blocked_uri,
        source_file=violation.source_file,
        document_uri=violation.document_uri,
        user_agent=entry.user_agent,
    )


def group_sums(batch: Sequence[Judged]) -> list[tuple[uuid.UUID, GroupSum]]:
    sums: dict[uuid.UUID, GroupSum] = {}
    for judged in batch:
        entry = judged.entry
        if entry.group_id not in sums:
            sums[entry.group_id] = GroupSum(entry.key, entry, entry)
        sums[entry.group_id].add(judged)
    return sorted(sums.items(), key=lambda item: item[0])


def hour_sums(batch: Sequence[Judged]) -> list[tuple[HourKey, int]]:
    return sorted(Counter(judged.hour_key for judged in batch).items())


def hit_sums(batch: Sequence[Judged]) -> list[tuple[tuple[int, date], int]]:
    return sorted(Counter((j.rule_id, j.entry.received_at.date()) for j in batch if j.rule).items())


def reach_members(batch: Sequence[Judged]) -> list[tuple[uuid.UUID, int, int]]:
    """The distinct (group, kind, member) of the batch.

    Noise counts here too: a rule that is switched off brings its groups back with their reach.
    """
    return sorted({(j.entry.group_id, *member) for j in batch for member in j.entry.reach})


def kept(batch: Sequence[Judged], totals: dict[HourKey, int]) -> list[Judged]:
    """The reports that become rows. `totals`: each hour's count with this batch in it."""
    if all(total <= KEPT_AN_HOUR for total in totals.values()):
        return list(batch)
    position = dict(totals)
    for key, count in hour_sums(batch):
        position[key] -= count
    rows = []
    for judged in batch:
        position[judged.hour_key] += 1
        if is_kept(position[judged.hour_key]):
            rows.append(judged)
    return rows


def is_kept(position: int) -> bool:
    """Whether an hour's report number `position` (from 1) of a group becomes a row.

    The first thousand do, then a hundred or so each time that the count doubles: ten million leave
    about 2,300 rows.
    """
    if position <= KEPT_AN_HOUR:
        return True
    doublings = ((position - 1) // KEPT_AN_HOUR).bit_length() - 1
    return position % ((KEPT_AN_HOUR // KEPT_A_DOUBLING) << doublings) == 0
