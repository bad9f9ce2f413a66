"""Queries groups by state, page by page, and counts groups and reports."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db.models import Case, Count, F, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce

from csp.models import Group, HourCount
from csp.noise.stored import RULE_TOPIC
from csp.triage.reading import bounded_read, snapshot
from csp.triage.states import CURRENT_STATES, OPEN, REGRESSED, current_state
from kernel.http.errors import Validation, invalid
from kernel.memory import CachedValue, Memory

MAX_DIRECTIVES = 20
MAX_GROWING = 100
# A group grows if it has at least this number of reports in the last 7 days, and at least twice as
# many as in the 7 days before.
MIN_GROWTH = 20
WEEK = timedelta(days=7)
_ORDER = ("client_days", "pages", "count")


# A site, a directive, an hour, whether an enabled noise rule hides the groups, and the reports.
type HourSum = tuple[str, str, datetime, bool, int]


def groups_at(now: datetime) -> Any:
    """Returns all groups, each with `current`, its state at that time, and its noise rule."""
    return Group.objects.select_related("rule", "assigned_to").annotate(current=current_state(now))


# --- One page of groups -----------------------------------------------------------------------


def page(
    groups: QuerySet[Any], *, filters: Mapping[str, str], limit: int, after: str
) -> dict[str, Any]:
    """Returns the groups after the cursor, most clients first. Shape: coderapi.CSPGroups.

    The cursor contains the position of the last group, so later pages are as fast as the first.
    Raises: APIError 400 for a cursor of a list with other filters.
    """
    digest = hashlib.blake2b(orjson.dumps(sorted(filters.items())), digest_size=6).hexdigest()
    if after:
        groups = groups.filter(_after(_position(after, digest)))
    rows = list(groups.order_by(*(f"-{name}" for name in _ORDER), "id")[: limit + 1])
    if len(rows) <= limit:
        return {"groups": rows, "next": ""}
    last = rows[limit - 1]
    position = [digest, last.client_days, last.pages, last.count, str(last.pk)]
    cursor = base64.urlsafe_b64encode(orjson.dumps(position)).decode()
    return {"groups": rows[:limit], "next": cursor}


def _position(cursor: str, digest: str) -> dict[str, Any]:
    try:
        found, *numbers, key = orjson.loads(base64.urlsafe_b64decode(cursor[:256]))
        position = dict(zip(_ORDER, map(int, numbers), strict=True))
        if found != digest:
            raise ValueError(cursor)
        return {**position, "id": uuid.UUID(key)}
    except (ValueError, TypeError, AttributeError):
        detail = "Must be the cursor of the previous page of the same list."
        raise invalid(Validation("after", detail)) from None


def _after(position: Mapping[str, Any]) -> Q:
    equal, later = Q(), Q()
    for name in _ORDER:
        later |= equal & Q(**{f"{name}__lt": position[name]})
        equal &= Q(**{name: position[name]})
    return later | (equal & Q(id__gt=position["id"]))


# --- Counts -----------------------------------------------------------------------------------


# The counts of a week are hundreds of thousands of rows, so results are cached for a minute. Each
# result is read from one snapshot, and contains the time when it was read.
def _kept_for_a_minute(name: str, *, capacity: int) -> Memory[Any, Any]:
    topics = (RULE_TOPIC,)
    return Memory(name, capacity=capacity, max_age=60.0, max_age_disconnected=60.0, topics=topics)


_WEEKS: Memory[datetime, WeekOfReports] = _kept_for_a_minute("csp week", capacity=1)
_SUMMARIES: Memory[tuple[datetime, str], dict[str, Any]]
_SUMMARIES = _kept_for_a_minute("csp summary", capacity=16)


@dataclass(frozen=True, slots=True)
class WeekOfReports:
    """The reports per site, directive and hour from `start` on, and the groups that grow.

    `growing` has the site and the id of each growing group that existed a week ago. The group with
    the most reports comes first.
    """

    as_of: datetime
    start: datetime
    sums: list[HourSum]
    growing: list[tuple[str, uuid.UUID]]


def week_of_reports(now: datetime) -> WeekOfReports:
    """Returns the reports of the last 7 days, at most a minute old."""
    hour = whole_hour(now)

    def read() -> CachedValue[WeekOfReports]:
        with snapshot():
            start = hour - WEEK
            return CachedValue(WeekOfReports(now, start, _hour_sums(start), _growing(hour)))

    found = _WEEKS.get(hour)
    if found is None:
        with bounded_read():
            found = _WEEKS.load(hour, read)
    return found


def whole_hour(moment: datetime) -> datetime:
    """Returns the start of the hour. Reports are counted by hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _hour_sums(since: datetime) -> list[HourSum]:
    hidden = Coalesce("group__rule__enabled", False)
    counted = HourCount.objects.filter(hour__gte=since)
    rows = counted.values("group__site", "group__directive", "hour")
    rows = rows.annotate(hidden=hidden, sum=Sum("count"))
    return list(rows.values_list("group__site", "group__directive", "hour", "hidden", "sum"))


def growing(week: WeekOfReports, *, now: datetime, limit: int, site: str = "") -> list[Any]:
    """Returns the groups that grow, with their current states; of all sites if `site` is ""."""
    keys = [key for of, key in week.growing if site in {"", of}][:limit]
    found = {group.pk: group for group in groups_at(now).visible().filter(pk__in=keys)}
    return [found[key] for key in keys if key in found]


def _growing(hour: datetime) -> list[tuple[str, uuid.UUID]]:
    week, before = hour - WEEK, hour - 2 * WEEK
    this = Sum("count", filter=Q(hour__gte=week), default=0)
    last = Sum("count", filter=Q(hour__lt=week), default=0)
    counted = HourCount.objects.filter(hour__gte=before).values("group").annotate(a=this, b=last)
    rows = counted.filter(Q(a__gte=MIN_GROWTH) & Q(a__gte=2 * F("b"))).order_by("-a")
    visible = rows.exclude(group__rule__enabled=True).filter(group__first_seen__lt=week)
    return list(visible.values_list("group__site", "group")[:MAX_GROWING])


def summary(*, since: datetime, now: datetime, site: str = "") -> dict[str, Any]:
    """Returns the numbers of groups by state, and of reports since that time, as of one moment.

    Counts all sites if `site` is "".
    Reports are counted by hour, so the period starts at a full hour. The numbers are at most a
    minute old. Groups with the label of an enabled noise rule count only as noise.
    """
    key = whole_hour(since), site
    found = _SUMMARIES.get(key)
    if found is None:
        with bounded_read():
            found = _SUMMARIES.load(key, lambda: CachedValue(_summary(*key, now)))
    return found


def _summary(since: datetime, site: str, now: datetime) -> dict[str, Any]:
    groups = groups_at(now).visible().filter(**({"site": site} if site else {}))
    states = groups.order_by().values_list("current")
    is_new = Q(first_seen__gte=since)
    with snapshot():
        counted = list(states.annotate(all=Count("pk"), new=Count("pk", filter=is_new)))
        sums = _directive_sums(since, site)
    counts = {state: (groups, new) for state, groups, new in counted}
    directives: Counter[str] = Counter()
    noise = 0
    for directive, is_hidden, reports in sums:
        if is_hidden:
            noise += reports
        else:
            directives[directive] += reports
    most = sorted(directives.items(), key=lambda item: (-item[1], item[0]))
    return {
        "as_of": now,
        "site": site,
        "since": since,
        "groups": {state: counts.get(state, (0, 0))[0] for state in CURRENT_STATES},
        "new_groups": sum(new for _, new in counts.values()),
        "reports": directives.total(),
        "noise": noise,
        "directives": [
            {"directive": directive, "reports": reports}
            for directive, reports in most[:MAX_DIRECTIVES]
        ],
    }


def _directive_sums(since: datetime, site: str) -> list[tuple[str, bool, int]]:
    """Returns the reports per directive, and whether an enabled noise rule hides them."""
    hidden = Coalesce("group__rule__enabled", False)
    hours = HourCount.objects.filter(hour__gte=since)
    counted = (hours.filter(group__site=site) if site else hours).values("group__directive")
    rows = counted.annotate(hidden=hidden, sum=Sum("count"))
    return list(rows.values_list("group__directive", "hidden", "sum"))


def needing_attention(now: datetime) -> Any:
    """Returns the visible groups that have regressed, and then those that are new.

    Both are ordered by clients.
    """
    rank = Case(When(current=REGRESSED, then=0), default=1)
    visible = groups_at(now).visible().filter(current__in=OPEN).annotate(rank=rank)
    return visible.order_by("rank", *(f"-{name}" for name in _ORDER), "id")


def neighbors(group: Any, *, now: datetime) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    """Returns the ids of the previous and the next group that needs attention, or None.

    The order is that of `needing_attention`. Takes two queries. `group` comes from `groups_at`.
    """
    rank = 0 if group.current == REGRESSED else 1
    position = {name: getattr(group, name) for name in (*_ORDER, "id")}
    is_later = Q(rank__gt=rank) | (Q(rank=rank) & _after(position))
    others = needing_attention(now).exclude(pk=group.pk).values_list("pk", flat=True)
    return others.exclude(is_later).reverse().first(), others.filter(is_later).first()
