"""Counts the reports that a noise rule matches, and finds examples."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db.models import OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from csp.models import GroupHour, NoiseRule, Report

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
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    counted = (
        _HOURS.filter(noise_rule_id=rule.pk, hour__gte=first)
        .values_list(TruncDate("hour", tzinfo=UTC))
        .annotate(hits=Sum("reports"))
    )
    return sorted(counted, reverse=True)


def examples(rule: NoiseRule, *, limit: int = 5) -> QuerySet[Report]:
    """Returns stored reports of groups that the rule hides, or matched in the newest hours."""
    newest = _HOURS.filter(noise_rule_id=rule.pk).order_by("-hour")
    hidden = rule.groups.order_by("-last_seen").values_list("pk", flat=True)[:limit]
    matched = newest.values_list("group", flat=True)[:limit]
    reports = Report.objects.filter(group_id__in={*hidden, *matched})
    return reports.filter(Q(noise_rule_id=rule.pk) | Q(group_id__in=set(hidden)))[:limit]
