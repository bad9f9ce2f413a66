"""Applies noise rules to stored reports: hides the reports, or only counts them (dry run)."""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from itertools import batched

from django.db import connection, transaction
from django.db.models import F

from csp.models import Group, HourCount, NoiseRule
from csp.noise.rules import RULES_LOCK, Facts, Rule, compiled

# Counts the visible reports of the given groups. Each row of the result has the group, the hour,
# the rule that has marked the reports so far, the columns that rules are compared with, and the
# count.
_VISIBLE = """
SELECT report.group_id, date_trunc('hour', report.received_at, 'UTC') AS hour,
    coalesce(report.rule_id, 0), report.blocked_uri, report.source_file, report.document_uri,
    report.user_agent, sum(report.weight)::bigint
FROM csp_report AS report
LEFT JOIN csp_noiserule AS rule ON rule.id = report.rule_id
WHERE report.group_id = ANY(%s) AND rule.enabled IS NOT TRUE
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""

_MARK = """
UPDATE csp_report AS report SET rule_id = %s
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
    AS facts (blocked_uri, source_file, document_uri, user_agent)
WHERE report.group_id = %s AND coalesce(report.rule_id, 0) = %s
    AND report.received_at >= %s AND report.received_at < %s
    AND report.blocked_uri = facts.blocked_uri AND report.source_file = facts.source_file
    AND report.document_uri = facts.document_uri AND report.user_agent = facts.user_agent
"""

_COUNT_NOISE = """
UPDATE csp_group SET noise_count = (
    SELECT coalesce(sum(hours.count), 0)
    FROM csp_hourcount AS hours JOIN csp_noiserule AS rule ON rule.id = hours.rule_id
    WHERE hours.group_id = csp_group.id AND rule.enabled)
WHERE id IN (SELECT group_id FROM csp_hourcount WHERE rule_id = %s)
    AND id = coalesce(%s, id)
"""

_ADD_TO_HOUR = """
INSERT INTO csp_hourcount AS stored (group_id, hour, rule_id, count) VALUES (%s, %s, %s, %s)
ON CONFLICT (group_id, hour, rule_id) DO UPDATE SET count = stored.count + excluded.count
"""

HOUR = timedelta(hours=1)

# The number of groups in one query. Each query reads every partition, so it covers many groups.
GROUPS_AT_ONCE = 500

# Identifies one hourly count: the group, the hour, and the rule that has marked the reports so far
# (0 if no rule has).
type Share = tuple[uuid.UUID, datetime, int]


@dataclass(slots=True)
class Match:
    """The stored rows of one share.

    `kept` is the number of reports that all rows represent, and `matched` the number that the rows
    matching the rule represent.
    """

    kept: int = 0
    matched: int = 0
    facts: list[Facts] = field(default_factory=list)

    def reports(self, count: int) -> int:
        """Returns how many of `count` reports match. Estimates it if the rows are a sample."""
        if count <= self.kept:
            return min(self.matched, count)
        return round(count * self.matched / self.kept)


@dataclass(frozen=True, slots=True)
class Hidden:
    """The number of reports that a rule hides or would hide, and the number of their groups."""

    reports: int
    groups: int

    def __str__(self) -> str:
        return f"{self.reports:,} reports of {self.groups:,} groups" if self.reports else "none"


@contextmanager
def rules_locked() -> Iterator[None]:
    """Opens a transaction. Other transactions cannot write reports before this one ends.

    So a rule and the counts that depend on it change together.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RULES_LOCK])
        yield


def would_hide(rule: NoiseRule) -> Hidden:
    """Returns the number of visible stored reports that the rule matches, without hiding them."""
    return _added(_sized(_matches(groups, rule)) for groups in _groups())


def hide(rule: NoiseRule) -> Hidden:
    """Marks the visible stored reports that the rule matches. Returns their number.

    Uses a separate transaction for each group, so that new reports can be written between two of
    these transactions.
    """
    return _added(
        _hide_in(group, rule)
        for groups in _groups()
        for group in sorted({group for group, _, _ in _matches(groups, rule)})
    )


def _groups() -> Iterator[list[uuid.UUID]]:
    visible = Group.objects.filter(count__gt=F("noise_count")).order_by("id")
    ids = list(visible.values_list("id", flat=True))
    return (list(some) for some in batched(ids, GROUPS_AT_ONCE))


def _added(found: Iterable[dict[Share, int]]) -> Hidden:
    counts: Counter[uuid.UUID] = Counter()
    for sized in found:
        for (group, _, _), count in sized.items():
            counts[group] += count
    return Hidden(reports=counts.total(), groups=len(counts))


def _hide_in(group: uuid.UUID, rule: NoiseRule) -> dict[Share, int]:
    with rules_locked():
        matches = _matches([group], rule)
        sized = _sized(matches)
        for share, count in sized.items():
            _mark(share, matches[share].facts, rule)
            _move(share, count, rule)
        if sized:
            count_noise(rule.pk, group)
    return sized


def count_noise(rule_id: int, group: uuid.UUID | None = None) -> None:
    """Updates the noise counts after the rule has changed.

    Updates all groups with reports that the rule has marked, or only `group` if it is given.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_NOISE, [rule_id, group])


def _matches(groups: list[uuid.UUID], rule: NoiseRule) -> dict[Share, Match]:
    ready = compiled([Rule(rule.pk, rule.name, rule.target, rule.pattern)])
    found: dict[Share, Match] = defaultdict(Match)
    with connection.cursor() as cursor:
        cursor.execute(_VISIBLE, [groups])
        for group, hour, rule_id, *texts, count in cursor:
            match, facts = found[group, hour, rule_id], Facts(*texts)
            match.kept += count
            if ready.match(facts):
                match.matched += count
                match.facts.append(facts)
    return {share: match for share, match in found.items() if match.matched}


def _sized(matches: dict[Share, Match]) -> dict[Share, int]:
    """Returns the number of matching reports in each share. Omits shares without a match."""
    counts = HourCount.objects.filter(
        group_id__in={group for group, _, _ in matches}, hour__in={hour for _, hour, _ in matches}
    )
    by_share = {(row.group_id, row.hour, row.rule_id): row.count for row in counts}
    sized = {share: match.reports(by_share.get(share, 0)) for share, match in matches.items()}
    return {share: count for share, count in sized.items() if count}


def _mark(share: Share, facts: list[Facts], rule: NoiseRule) -> None:
    group, hour, old = share
    texts = [list(column) for column in zip(*map(astuple, facts), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [rule.pk, *texts, group, old, hour, hour + HOUR])


def _move(share: Share, count: int, rule: NoiseRule) -> None:
    """Moves `count` reports of the hourly count from the share's previous rule to this rule."""
    group, hour, old = share
    counted = HourCount.objects.filter(group_id=group, hour=hour, rule_id=old)
    counted.filter(count=count).delete()
    counted.update(count=F("count") - count)
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TO_HOUR, [group, hour, rule.pk, count])
