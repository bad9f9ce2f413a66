"""The reports of the last 7 days, by hour, site and directive, and the groups that grow."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Sum

from csp.models import GroupHour
from csp.triage.reading import bounded_read, snapshot
from csp.triage.selectors import HOUR, WEEK, groups_at, kept_sums, whole_hour
from kernel.memory import CachedValue, Memory

# The current hour counts, too.
HOURS = WEEK // HOUR + 1
MAX_GROWING = 100
# A group grows if it has at least this number of reports in the last 7 days, and at least twice as
# many as in the 7 days before.
MIN_GROWTH = 20

# The reports of each hour of a week, by site and directive.
type Counts = dict[str, dict[str, list[int]]]

_WEEKS: Memory[datetime, WeekOfReports] = kept_sums("csp week", capacity=1)


@dataclass(frozen=True, slots=True)
class WeekOfReports:
    """The reports of the hours from `start` on, and the groups that grow.

    `counts` has the visible reports of each hour, by site and directive. All sites together are the
    site "". `growing` has the site and the id of each growing group that existed a week ago. The
    group with the most reports comes first.
    """

    as_of: datetime
    start: datetime
    counts: Counts
    growing: list[tuple[str, uuid.UUID]]


def week_of_reports(now: datetime) -> WeekOfReports:
    """Returns the reports of the last 7 days, at most a minute old."""
    hour = whole_hour(now)
    found = _WEEKS.get(hour)
    if found is None:
        with bounded_read():
            found = _WEEKS.load(hour, lambda: CachedValue(_week(hour, now)))
    return found


def _week(hour: datetime, now: datetime) -> WeekOfReports:
    start = hour - WEEK
    counts: Counts = {}
    columns = ("group__site", "group__directive", "hour")
    with snapshot():
        hours = GroupHour.objects.visible().filter(hour__gte=start, hour__lte=hour)
        for site, directive, at, reports in hours.values_list(*columns).annotate(Sum("reports")):
            for name in ("", site):
                found = counts.setdefault(name, {}).setdefault(directive, [0] * HOURS)
                found[(at - start) // HOUR] += reports
        return WeekOfReports(now, start, counts, _growing(hour))


def growing(week: WeekOfReports, *, now: datetime, limit: int, site: str = "") -> list[Any]:
    """Returns the groups that grow, with their current states; of all sites if `site` is ""."""
    keys = [key for of, key in week.growing if site in {"", of}][:limit]
    found = {group.pk: group for group in groups_at(now).visible().filter(pk__in=keys)}
    return [found[key] for key in keys if key in found]


# Sums the counts of a group before it joins the group, because a group has many counts.
_GROWING = """
SELECT site, id
FROM (
    SELECT group_id, sum(reports) FILTER (WHERE hour >= %(week)s) AS this,
        coalesce(sum(reports) FILTER (WHERE hour < %(week)s), 0) AS before
    FROM csp_grouphour WHERE hour >= %(before)s AND noise_rule_id = 0 GROUP BY group_id
) AS counted
JOIN csp_group ON csp_group.id = group_id
WHERE this >= %(least)s AND this >= 2 * before AND first_seen < %(week)s AND noise_rule_id IS NULL
ORDER BY this DESC, csp_group.id LIMIT %(limit)s
"""


def _growing(hour: datetime) -> list[tuple[str, uuid.UUID]]:
    values: dict[str, Any] = {"week": hour - WEEK, "before": hour - 2 * WEEK}
    with connection.cursor() as cursor:
        cursor.execute(_GROWING, values | {"least": MIN_GROWTH, "limit": MAX_GROWING})
        return list(cursor.fetchall())
