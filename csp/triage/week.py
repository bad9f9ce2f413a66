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
from csp.writing.batch import HOURS_TOPIC
from kernel.memory import CachedValue, Memory

# The current hour counts, too.
HOURS = WEEK // HOUR + 1
MAX_GROWING = 100
# A group grows if it has at least this number of reports in the last 7 days, and at least twice as
# many as in the 7 days before.
MIN_GROWTH = 20

# The reports of each hour of a week, by site and directive.
type Counts = dict[str, dict[str, list[int]]]

_WEEKS: Memory[datetime, WeekOfReports] = kept_sums("csp week", HOURS_TOPIC, capacity=1)
# Only an import changes earlier hours.
_EARLIER: Memory[datetime, EarlierHours]
_EARLIER = kept_sums("csp earlier hours", HOURS_TOPIC, capacity=1, max_age=3_600.0)


@dataclass(frozen=True, slots=True)
class EarlierHours:
    """The reports of the hours from `start` to `end`, and the groups that grow.

    `counts` has the visible reports of each hour, by site and directive. All sites together are the
    site "". `growing` has the site and the id of each growing group that existed a week ago. The
    group with the most reports comes first.
    """

    as_of: datetime
    start: datetime
    end: datetime
    counts: Counts
    growing: list[tuple[str, uuid.UUID]]


@dataclass(frozen=True, slots=True)
class WeekOfReports:
    """The visible reports of 7 days. `counts` also has the hours after those of `earlier`."""

    as_of: datetime
    earlier: EarlierHours
    counts: Counts


def week_of_reports(now: datetime) -> WeekOfReports:
    """Returns the reports of the last 7 days.

    The last two hours are at most a minute old. The earlier hours are read once an hour.
    """
    hour = whole_hour(now)
    found = _WEEKS.get(hour)
    if found is None:
        with bounded_read():
            found = _WEEKS.load(hour, lambda: CachedValue(_week(hour, now)))
    return found


def _week(hour: datetime, now: datetime) -> WeekOfReports:
    earlier = _EARLIER.get(hour)
    if earlier is None:
        earlier = _EARLIER.load(hour, lambda: CachedValue(_earlier(hour, now)))
    counts = {
        site: {directive: list(hours) for directive, hours in directives.items()}
        for site, directives in earlier.counts.items()
    }
    _add_hours(counts, start=earlier.start, since=earlier.end, until=hour + HOUR)
    return WeekOfReports(now, earlier, counts)


def _earlier(hour: datetime, now: datetime) -> EarlierHours:
    start, end = hour - WEEK, hour - HOUR
    counts: Counts = {}
    with snapshot():
        _add_hours(counts, start=start, since=start, until=end)
        return EarlierHours(now, start, end, counts, _growing(hour))


def _add_hours(counts: Counts, *, start: datetime, since: datetime, until: datetime) -> None:
    """Adds the visible reports of these hours to `counts`, which begins at `start`."""
    hours = GroupHour.objects.filter(hour__gte=since, hour__lt=until)
    rows = (
        hours.visible()
        .values_list("group__site", "group__directive", "hour")
        .annotate(Sum("reports"))
    )
    for site, directive, hour, reports in rows:
        for name in ("", site):
            found = counts.setdefault(name, {}).setdefault(directive, [0] * HOURS)
            found[(hour - start) // HOUR] += reports


def growing(week: WeekOfReports, *, now: datetime, limit: int, site: str = "") -> list[Any]:
    """Returns the groups that grow, with their current states; of all sites if `site` is ""."""
    keys = [key for of, key in week.earlier.growing if site in {"", of}][:limit]
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
    week, before = hour - WEEK, hour - 2 * WEEK
    values: dict[str, Any] = {
        "week": week,
        "before": before,
        "least": MIN_GROWTH,
        "limit": MAX_GROWING,
    }
    with connection.cursor() as cursor:
        cursor.execute(_GROWING, {**values, "limit": MAX_GROWING})
        return list(cursor.fetchall())
