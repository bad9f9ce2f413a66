"""Counts the reports that a noise rule matches, and finds examples."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from csp.models import GroupHour, NoiseRule, Report


def rules_with_hits(rules: QuerySet[NoiseRule], *, now: datetime) -> QuerySet[NoiseRule]:
    """Annotates each rule with `week_hits`: the reports of its groups in the last 7 days."""
    hours = GroupHour.objects.filter(hour__gt=now - timedelta(days=7))
    of_rule = hours.filter(group__noise_rule=OuterRef("pk")).order_by().values("group__noise_rule")
    return rules.annotate(week_hits=Subquery(of_rule.annotate(hits=Sum("reports")).values("hits")))


def daily_hits(rule: NoiseRule, *, now: datetime, days: int) -> list[tuple[date, int]]:
    """Returns the number of reports of the rule's groups on each day, newest day first.

    Omits days without such a report.
    """
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    counted = (
        GroupHour.objects.filter(group__noise_rule=rule, hour__gte=first)
        .values_list(TruncDate("hour", tzinfo=UTC))
        .annotate(hits=Sum("reports"))
    )
    return sorted(counted, reverse=True)


def examples(rule: NoiseRule, *, limit: int = 5) -> QuerySet[Report]:
    """Returns the newest stored reports of the rule's groups."""
    newest = rule.groups.order_by("-last_seen").values_list("pk", flat=True)[:limit]
    return Report.objects.filter(group_id__in=list(newest))[:limit]
