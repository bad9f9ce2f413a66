"""Queries groups by state, page by page, and reads the advice for a group."""

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
from django.conf import settings
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from csp.advice.policy import Address
from csp.advice.suggestion import Advice, Blocked, Risk, advise, silenced
from csp.models import Group, HourCount
from csp.noise.stored import RULE_TOPIC
from csp.triage.states import CURRENT_STATES, OPEN, current_state
from kernel.db.connections import fetch
from kernel.http.errors import Validation, invalid
from kernel.memory import Memory, Remembered

MAX_REPORTS = 1_000
MAX_URLS = 200
MAX_DIRECTIVES = 20
# A group grows if it has at least this number of reports in the last 7 days, and at least twice as
# many as in the 7 days before.
MIN_GROWTH = 20
WEEK = timedelta(days=7)
# The paths of this service's pages. Coder has no pages there.
OWN_PATHS = tuple(f"{settings.ADMIN_PATH}{page}" for page in ("account", "admin", "swagger"))
_ORDER = ("client_days", "pages", "count")


@dataclass(frozen=True, slots=True)
class HourSum:
    """The reports of a directive in an hour. `hidden` ones have an enabled noise rule."""

    directive: str
    hour: datetime
    hidden: bool
    reports: int


def groups_at(now: datetime) -> Any:
    """Returns all groups, each with `current`, its state at that time, and its noise rule."""
    return Group.objects.select_related("rule").annotate(current=current_state(now))


# --- One page of groups -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page of groups, and the cursor of the next page, which is "" on the last page."""

    groups: list[Group]
    next: str


def page(groups: QuerySet[Any], *, filters: Mapping[str, str], limit: int, after: str) -> Page:
    """Returns the groups after the cursor, most clients first.

    The cursor contains the position of the last group, so later pages are as fast as the first.
    Raises: APIError 400 for a cursor of a list with other filters.
    """
    digest = hashlib.blake2b(orjson.dumps(sorted(filters.items())), digest_size=6).hexdigest()
    if after:
        groups = groups.filter(_after(_position(after, digest)))
    rows = list(groups.order_by(*(f"-{name}" for name in _ORDER), "id")[: limit + 1])
    if len(rows) <= limit:
        return Page(rows, "")
    last = rows[limit - 1]
    position = [digest, last.client_days, last.pages, last.count, str(last.pk)]
    return Page(rows[:limit], base64.urlsafe_b64encode(orjson.dumps(position)).decode())


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

# The counts of a week are hundreds of thousands of rows, so their sums are at most a minute old.
_SUMS: Memory[datetime, list[HourSum]] = Memory(
    "csp hours", capacity=16, max_age=60.0, deaf_age=60.0, topics=(RULE_TOPIC,)
)
_GROWING: Memory[datetime, list[uuid.UUID]] = Memory(
    "csp growing", capacity=1, max_age=60.0, deaf_age=60.0, topics=(RULE_TOPIC,)
)


def hour_sums(since: datetime) -> list[HourSum]:
    """Returns the reports per directive and hour, from that hour on."""
    return _SUMS.load(since, lambda: Remembered(_hour_sums(since)))


def _hour_sums(since: datetime) -> list[HourSum]:
    hidden = Coalesce("group__rule__enabled", False)
    counted = HourCount.objects.filter(hour__gte=since).values("hour", "group__directive")
    rows = counted.annotate(hidden=hidden, sum=Sum("count"))
    return [
        HourSum(row["group__directive"], row["hour"], row["hidden"], row["sum"]) for row in rows
    ]


def growing(now: datetime, *, limit: int) -> list[Any]:
    """Returns the visible groups that grow and existed a week ago, most reports first."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    keys = _GROWING.load(hour, lambda: Remembered(_growing(hour)[:limit]))
    found = {group.pk: group for group in groups_at(now).filter(pk__in=keys)}
    return [found[key] for key in keys if key in found]


def _growing(hour: datetime) -> list[uuid.UUID]:
    week, before = hour - WEEK, hour - 2 * WEEK
    this = Sum("count", filter=Q(hour__gte=week), default=0)
    last = Sum("count", filter=Q(hour__lt=week), default=0)
    counted = HourCount.objects.filter(hour__gte=before).values("group").annotate(a=this, b=last)
    rows = counted.filter(Q(a__gte=MIN_GROWTH) & Q(a__gte=2 * F("b"))).order_by("-a")
    visible = rows.exclude(group__rule__enabled=True).filter(group__first_seen__lt=week)
    return list(visible.values_list("group", flat=True))


def summary(*, since: datetime, now: datetime) -> dict[str, Any]:
    """Returns the numbers of groups by state, and of reports since that time.

    Groups with the label of an enabled noise rule count only as noise.
    """
    visible = groups_at(now).visible()
    states = dict(visible.values_list("current").annotate(Count("pk")).order_by())
    directives: Counter[str] = Counter()
    noise = 0
    for each in hour_sums(since):
        if each.hidden:
            noise += each.reports
        else:
            directives[each.directive] += each.reports
    most = sorted(directives.items(), key=lambda item: (-item[1], item[0]))
    return {
        "since": since,
        "groups": {state: states.get(state, 0) for state in CURRENT_STATES},
        "new_groups": visible.filter(first_seen__gte=since).count(),
        "reports": directives.total(),
        "noise": noise,
        "directives": [
            {"directive": directive, "reports": reports}
            for directive, reports in most[:MAX_DIRECTIVES]
        ],
    }


def needing_attention(now: datetime) -> Any:
    """Returns the visible groups that are new or have regressed, most clients first."""
    return groups_at(now).visible().filter(current__in=OPEN)


# --- Advice -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GroupAdvice:
    """The advice for a group, and how many reports of the last 7 days its entry would prevent.

    The numbers are those of the newest stored reports, with their weights.
    """

    advice: Advice
    silenced: int
    week_reports: int
    policy: str
    is_own: bool


# The distinct reports among the newest ones, each with its weight in the last week.
_NEWEST = f"""
    SELECT effective_directive, blocked_uri, document_uri, original_policy,
           coalesce(sum(weight) FILTER (WHERE received_at > %s), 0)::bigint
    FROM (
        SELECT * FROM csp_report WHERE group_id = %s
        ORDER BY received_at DESC, id DESC LIMIT {MAX_REPORTS}
    ) AS newest
    GROUP BY 1, 2, 3, 4
    ORDER BY max(received_at) DESC
"""  # noqa: S608 - only a constant


def advice_for(group: Group, *, now: datetime) -> GroupAdvice:
    """Reads the group's newest stored reports, and returns the advice for them."""
    rows = fetch(_NEWEST, [now - WEEK, group.pk])
    urls = tuple(dict.fromkeys(row[1] for row in rows))[:MAX_URLS]
    page_url, policy = (rows[0][2], rows[0][3]) if rows else ("", "")
    advice = advise(Blocked(group.directive, group.blocked, urls, page_url, policy))
    week = [(directive or group.directive, *more) for directive, *more in rows]
    return GroupAdvice(
        advice,
        silenced(advice, week),
        sum(row[-1] for row in week),
        policy,
        is_own=_is_own(page_url),
    )


def _is_own(url: str) -> bool:
    """Returns whether the page is one of this service, and not one of Coder."""
    page = Address.parse(url)
    own = Address.parse(settings.ACCESS_URL)
    is_host = page is not None and (own is None or page.host == own.host)
    return is_host and page is not None and page.path.startswith(OWN_PATHS)


_NEXT_STEPS = {
    "inline": "Find out where the code comes from",
    "eval": "Find the script that uses eval",
    "other": "Look at the reports",
    "unknown": "Look at the reports",
}


def next_step(group: Group) -> str:
    """Returns the advice in a few words. Reads only the group, not its reports."""
    source = group.blocked
    url = f"https://{source}" if "." in source or source == "localhost" else source
    advice = advise(Blocked(group.directive, source, (url,), "", ""))
    if advice.entry:
        return f"Allow it (risk: {advice.risk}), or ignore it"
    default = "Do not allow it" if advice.risk is Risk.HIGH else "Ignore it"
    return _NEXT_STEPS.get(source, default)
