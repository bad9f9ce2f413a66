"""The front page of CSP reports in the admin: what is new, what has regressed, and what grows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import Sum
from django.db.models.functions import TruncDate
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from csp.models import Group, GroupHour, midnight, whole_hour
from csp.triage.reading import read_once, snapshot
from csp.triage.releases.versions import mark_new
from csp.triage.selectors import HOUR, WEEK, groups_at, kept_sums, most_urgent
from csp.triage.sites import several_sites
from csp.triage.states import OPEN
from kernel.admin import State as Color
from kernel.admin import badge
from kernel.charts import COUNT, Chart, Series, render
from kernel.db.sql import fetch_rows
from kernel.memory import Memory

DAYS = 7
ROWS = 8
DIRECTIVES = 4
# Django's name of the parameter with the query of the list from which the reader came. It must not
# be empty.
LIST_FILTERS, WHOLE_LIST = "_changelist_filters", "p=1"


_PORT = re.compile(r"(?<=[\w\]}]):[0-9]+(?![\w.])")


def breakable(text: Any) -> SafeString:
    """Lets a browser break a line after the scheme and before the port, and not inside a port."""
    written = _PORT.sub(r'<wbr><span class="port">\g<0></span>', conditional_escape(text))
    # The text is escaped.
    return mark_safe(written.replace("://", "://<wbr>"))  # noqa: S308


def state_badge(group: Any) -> SafeString:
    return badge(group.current, Color.BAD if group.current in OPEN else Color.PLAIN)


@admin.display(description="state")
def badges(group: Any) -> SafeString:
    """Returns the state of the group, and the version in which it is new.

    The group comes from `groups_at` and `mark_new`.
    """
    state = state_badge(group)
    if not group.new_in:
        return state
    return format_html("{} {}", state, badge(f"new in {group.new_in}", Color.NOTICE))


def group_chart(group: Group, *, now: datetime) -> SafeString:
    """Draws the number of the group's reports in each hour of the last 7 days."""
    start = whole_hour(now) - WEEK
    rows = GroupHour.objects.shown().filter(group=group, hour__gte=start).values_list("hour")
    counted = dict(rows.annotate(Sum("reports")))
    counts = [counted.get(start + n * HOUR, 0) for n in range(HOURS)]
    return _hourly_chart(start, [Series("reports", counts)], bars=True)


def _hourly_chart(start: datetime, series: Sequence[Series], *, bars: bool = False) -> SafeString:
    return render(Chart("Reports", "per hour, last 7 days", COUNT, start, HOUR, series, bars))


def front_page(now: datetime, *, site: str = "") -> dict[str, Any]:
    """Returns the rows and the chart of the front page, of all sites if `site` is "".

    Runs at most ten queries.
    """
    week = week_of_reports(now)
    of_site = urlencode({"site": site} if site else {})
    with snapshot():
        open_groups = most_urgent(now, limit=ROWS, site=site)
        rising = growing(week, now=now, site=site)
        groups = groups_at(now).visible().of_site(site)
        # Not the same rows twice.
        top = list(groups.exclude(pk__in=[group.pk for group in open_groups])[:ROWS])
        mark_days(mark_new([*open_groups, *rising, *top]), now)
    return {
        "attention": open_groups,
        "growing": rising,
        "top": top,
        "chart": _chart(week, site),
        "week": week,
        "site": site,
        "of_site": f"?{of_site}" if site else "",
        "of_list": f"?{urlencode({LIST_FILTERS: of_site or WHOLE_LIST})}",
        "sites": several_sites(),
    }


def mark_days(groups: Collection[Any], now: datetime) -> None:
    """Sets `days` of each group: the number of reports on each of the last days, oldest first."""
    first = midnight(now) - timedelta(days=DAYS - 1)
    counted: dict[UUID, list[int]] = defaultdict(lambda: [0] * DAYS)
    rows = (
        GroupHour.objects.shown()
        .filter(group__in=[group.pk for group in groups], hour__gte=first)
        .values_list("group", TruncDate("hour", tzinfo=UTC))
    )
    for group, day, count in rows.annotate(Sum("reports")):
        counted[group][min((day - first.date()).days, DAYS - 1)] = count
    for group in groups:
        group.days = counted[group.pk]


def sparkline(values: Sequence[int]) -> SafeString:
    """Draws the values as small bars. The text is for screen readers."""
    highest = max([*values, 1])
    # The drawing is 20 high. A day is 12 wide, and its bar 10.
    heights = [(12 * n, 20 * value / highest) for n, value in enumerate(values) if value]
    return format_html(
        '<svg class="spark" viewBox="0 0 {} 20" role="img" aria-label="{}"><path d="{}"/></svg>',
        12 * len(values),
        f"Reports per day: {', '.join(map(str, values))}",
        "".join(f"M{x} 20v-{height:.1f}h10V20z" for x, height in heights),
    )


def _chart(week: WeekOfReports, site: str) -> SafeString:
    """Draws a chart of the visible reports per hour, with a line for each common directive."""
    counts = {name or "(none)": hours for name, hours in week.counts.get(site, {}).items()}
    common = sorted(counts, key=lambda name: -sum(counts[name]))
    series = [Series(name, counts[name]) for name in common[:DIRECTIVES]]
    if rest := common[DIRECTIVES:]:
        series.append(Series("other", [sum(at) for at in zip(*map(counts.get, rest), strict=True)]))
    return _hourly_chart(week.start, series or [Series("reports", [0] * HOURS)])


# --- The reports of the last 7 days ---------------------------------------------------------------

# The current hour counts, too.
HOURS = WEEK // HOUR + 1
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
    site "". `growing` has the site and the id of groups that existed a week ago: those of each
    site that grow most. The group with the most reports comes first.
    """

    as_of: datetime
    start: datetime
    counts: Counts
    growing: list[tuple[str, UUID]]


def week_of_reports(now: datetime) -> WeekOfReports:
    """Returns the reports of the last 7 days, at most a minute old."""
    hour = whole_hour(now)
    return read_once(_WEEKS, hour, lambda: _week(hour, now))


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


def growing(week: WeekOfReports, *, now: datetime, site: str = "") -> list[Any]:
    """Returns the groups that grow, with their current states; of all sites if `site` is ""."""
    keys = [key for of, key in week.growing if site in {"", of}][:ROWS]
    found = {group.pk: group for group in groups_at(now).visible().filter(pk__in=keys)}
    return [found[key] for key in keys if key in found]


# Sums the counts of a group before it joins the group, because a group has many counts.
_GROWING = """
WITH counted AS (
    SELECT group_id, sum(reports) FILTER (WHERE hour >= %(week)s) AS this,
        coalesce(sum(reports) FILTER (WHERE hour < %(week)s), 0) AS before
    FROM csp_grouphour WHERE hour >= %(before)s AND noise_rule_id = 0 GROUP BY group_id
), ranked AS (
    SELECT site, id, this, row_number() OVER (PARTITION BY site ORDER BY this DESC, id) AS place
    FROM counted JOIN csp_group ON csp_group.id = group_id
    WHERE this >= %(least)s AND this >= 2 * before AND first_seen < %(week)s
        AND noise_rule_id IS NULL
)
SELECT site, id FROM ranked WHERE place <= %(limit)s ORDER BY this DESC, id
"""


def _growing(hour: datetime) -> list[tuple[str, UUID]]:
    values: dict[str, Any] = {"week": hour - WEEK, "before": hour - 2 * WEEK}
    return fetch_rows(_GROWING, values | {"least": MIN_GROWTH, "limit": ROWS})
