"""Reads the noise rules, tries a rule on the stored reports, and counts what a rule matched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import batched
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from csp.models import Group, GroupHour, NoiseRule, Report, midnight
from csp.noise.rules import Rules, compiled
from csp.scrubbing.address import address_of
from kernel.db.sql import fetch_rows

# A dry run, and the facets of a group, read only the newest stored reports of a group.
MAX_READ = 5_000
GROUPS_AT_ONCE = 100
MAX_EXAMPLES = 5
# Announces a change of a noise rule.
RULE_TOPIC = "noise_rule"


def enabled_rules() -> QuerySet[NoiseRule]:
    return NoiseRule.objects.filter(is_enabled=True).order_by("id")


# Counts the newest stored reports of each group. Each row of the result has the group, the columns
# that rules are compared with, and the number of reports.
_READ = """
SELECT wanted.id, blocked_uri, source_file, document_uri, user_agent,
    sum(represented_reports)::bigint
FROM unnest(%(groups)s::uuid[]) AS wanted (id), LATERAL (
    (
        SELECT blocked_uri, source_file, document_uri, user_agent, represented_reports
        FROM csp_report WHERE group_id = wanted.id AND noise_rule_id = 0
        ORDER BY received_at DESC LIMIT %(limit)s
    ) UNION ALL (
        SELECT blocked_uri, source_file, document_uri, user_agent, represented_reports
        FROM csp_report WHERE group_id = wanted.id AND noise_rule_id > 0 LIMIT %(limit)s
    )
) AS newest
GROUP BY 1, 2, 3, 4, 5
"""


def dry_run(rule: NoiseRule) -> tuple[list[Group], list[Group]]:
    """Returns the visible groups whose newest stored reports the rule would label.

    In the groups of the first list, all of these reports match. In the groups of the second list,
    only some of them match. Reports that another enabled rule matches do not count.
    """
    rules = compiled([*enabled_rules().exclude(pk=rule.pk), rule])
    found: dict[UUID, tuple[int, int]] = {}
    visible = Group.objects.visible().of_site(rule.site)
    sites = dict(visible.order_by("pk").values_list("pk", "site"))
    for some in batched(sites, GROUPS_AT_ONCE):
        found |= _matched({group: sites[group] for group in some}, rules, rule)
    groups = Group.objects.in_bulk(list(found))
    wholly = [group for pk, group in groups.items() if found[pk][0] == found[pk][1]]
    return wholly, [group for pk, group in groups.items() if found[pk][0] < found[pk][1]]


def _matched(
    sites: Mapping[UUID, str], rules: Rules, own: NoiseRule
) -> dict[UUID, tuple[int, int]]:
    """Returns the numbers of matching and of counted reports, for groups with a matching report.

    `sites` has the site of each group to read.
    """
    matched: Counter[UUID] = Counter()
    read: Counter[UUID] = Counter()
    for group, *uris, agent, count in fetch_rows(_READ, {"groups": list(sites), "limit": MAX_READ}):
        blocked, source, document = map(address_of, uris)
        found = rules.match(
            blocked=blocked,
            source=source,
            document=document,
            user_agent=agent,
            site=sites[group],
        )
        read[group] += count if found is own or found is None else 0
        matched[group] += count if found is own else 0
    return {group: (count, read[group]) for group, count in matched.items() if count}


# --- The reports that a rule matched --------------------------------------------------------------

# The condition lets PostgreSQL use the index of noise.
_HOURS = GroupHour.objects.filter(noise_rule_id__gt=0)


def rules_with_hits(rules: QuerySet[NoiseRule], *, now: datetime) -> QuerySet[NoiseRule]:
    """Annotates each rule with `week_hits`: the reports that it matched in the last 7 days."""
    hours = _HOURS.filter(hour__gt=now - timedelta(days=7))
    of_rule = hours.filter(noise_rule_id=OuterRef("pk")).order_by().values("noise_rule_id")
    return rules.annotate(week_hits=Subquery(of_rule.annotate(hits=Sum("reports")).values("hits")))


def daily_hits(rule: NoiseRule, *, now: datetime, days: int) -> list[tuple[date, int]]:
    """Returns the number of reports that the rule matched on each day, newest day first.

    Omits days without such a report.
    """
    first = midnight(now) - timedelta(days=days - 1)
    counted = (
        _HOURS.filter(noise_rule_id=rule.pk, hour__gte=first)
        .values_list(TruncDate("hour", tzinfo=UTC))
        .annotate(hits=Sum("reports"))
    )
    return sorted(counted, reverse=True)


def examples(rule: NoiseRule) -> QuerySet[Report]:
    """Returns stored reports of groups that the rule hides, or matched in the newest hours."""
    newest = _HOURS.filter(noise_rule_id=rule.pk).order_by("-hour")
    hidden = rule.groups.order_by("-last_seen").values_list("pk", flat=True)[:MAX_EXAMPLES]
    matched = newest.values_list("group", flat=True)[:MAX_EXAMPLES]
    reports = Report.objects.filter(group_id__in={*hidden, *matched})
    return reports.filter(Q(noise_rule_id=rule.pk) | Q(group_id__in=set(hidden)))[:MAX_EXAMPLES]
