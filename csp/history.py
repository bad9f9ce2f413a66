"""Noise rules over what is already stored: what one would hide, hiding it, and bringing it back."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection, transaction

from csp import statements
from csp.models import HourCount, NoiseRule
from csp.noise import Facts, Rule, compiled

# The stored reports that are not hidden, by all that rules look at. `kept` rows stand for `count` reports.
_VISIBLE = """
SELECT report.group_id, date_trunc('hour', report.received_at) AS hour,
    coalesce(report.rule_id, 0) AS rule_id, report.blocked_uri, report.source_file,
    report.document_uri, report.user_agent, count(*), array_agg(report.id)
FROM csp_report AS report
LEFT JOIN csp_noiserule AS rule ON rule.id = report.rule_id
WHERE rule.enabled IS NOT TRUE
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""

_COUNT_NOISE = """
UPDATE csp_group SET noise_count = (
    SELECT coalesce(sum(hours.count), 0)
    FROM csp_hourcount AS hours JOIN csp_noiserule AS rule ON rule.id = hours.rule_id
    WHERE hours.group_id = csp_group.id AND rule.enabled)
WHERE id IN (SELECT group_id FROM csp_hourcount WHERE rule_id = %s)
"""

type HourKey = tuple[uuid.UUID, datetime, int]


@dataclass(slots=True)
class Match:
    """What of one hour of a group a rule would hide."""

    rows: int = 0
    matched: list[int] = field(default_factory=list)

    def reports(self, count: int) -> int:
        """How many reports the matched rows stand for: where rows are a sample, their share."""
        if count <= self.rows:
            return min(len(self.matched), count)
        return round(count * len(self.matched) / self.rows)


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a rule hides, or would hide."""

    reports: int
    groups: int

    def __str__(self) -> str:
        return f"{self.reports:,} reports of {self.groups:,} groups"


@contextmanager
def rules_held() -> Iterator[None]:
    """A transaction in which no batch is written: counts and rules change together."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [statements.RULES_LOCK])
        yield


def would_hide(rule: NoiseRule) -> Hidden:
    """What the rule would hide of what is stored and visible. Nothing is changed."""
    return _summary(_sized(_matches(rule)))


def hide(rule: NoiseRule) -> Hidden:
    """Marks what is stored and visible as the rule's; what was hidden.

    Switching the rule off brings all of it back.
    """
    with rules_held():
        matches = _matches(rule)
        sized = _sized(matches)
        _mark_rows([i for match in matches.values() for i in match.matched], rule)
        for key, count in sized.items():
            _move(key, count, rule)
        count_noise(rule.id)
    return _summary(sized)


def count_noise(rule_id: int) -> None:
    """Counts the noise of the rule's groups anew, after it was switched on, off, or changed."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_NOISE, [rule_id])


def _matches(rule: NoiseRule) -> dict[HourKey, Match]:
    ready = compiled([Rule(rule.pk or -1, rule.name, rule.target, rule.pattern)])
    found: dict[HourKey, Match] = defaultdict(Match)
    with connection.cursor() as cursor:
        cursor.execute(_VISIBLE)
        for group, hour, rule_id, blocked, source, document, agent, count, ids in cursor:
            match = found[group, hour, rule_id]
            match.rows += count
            if ready.match(Facts(blocked, source, document, agent)):
                match.matched += ids
    return {key: match for key, match in found.items() if match.matched}


def _sized(matches: dict[HourKey, Match]) -> dict[HourKey, int]:
    """How many reports each match stands for; rows may have outlived nothing but their counts."""
    counts = HourCount.objects.filter(group_id__in={key[0] for key in matches})
    sized = {}
    for row in counts:
        match = matches.get((row.group_id, row.hour, row.rule_id))
        if match:
            sized[row.group_id, row.hour, row.rule_id] = match.reports(row.count)
    return sized


def _summary(sized: dict[HourKey, int]) -> Hidden:
    return Hidden(reports=sum(sized.values()), groups=len({key[0] for key in sized}))


def _mark_rows(ids: list[int], rule: NoiseRule) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE csp_report SET rule_id = %s WHERE id = ANY(%s)", [rule.pk, ids])


def _move(key: HourKey, count: int, rule: NoiseRule) -> None:
    group, hour, old = key
    held = HourCount.objects.get(group_id=group, hour=hour, rule_id=old)
    left = held.count - count
    with connection.cursor() as cursor:
        cursor.execute(statements.HOURS, [[group], [hour], [rule.pk], [count]])
    kept = HourCount.objects.filter(group_id=group, hour=hour, rule_id=old)
    if left:
        kept.update(count=left)
    else:
        kept.delete()
