"""Queries groups by state, page by page, and counts groups and reports."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db.models import Case, Count, Q, QuerySet, Sum, Value, When

from csp.models import Group, GroupHour, State, whole_hour
from csp.noise.stored import RULE_TOPIC
from csp.scrubbing.address import OTHER_SITE
from csp.triage.reading import read_once, snapshot
from csp.triage.states import CURRENT_STATES, OPEN, REGRESSED, current_state, in_state
from kernel.http.errors import Validation, invalid
from kernel.memory import Memory

MAX_DIRECTIVES = 20
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def groups_at(now: datetime) -> Any:
    """Returns all groups, each with its state at that time (`current`), its rule and its user."""
    groups = Group.objects.annotate(current=current_state(now))
    # Few groups have a rule or a user, so a join would only take time.
    return groups.prefetch_related("noise_rule", "assigned_to")


# --- One page of a list -----------------------------------------------------------------------


def page(
    rows: QuerySet[Any],
    *,
    filters: Mapping[str, str],
    limit: int,
    after: str,
) -> tuple[list[Any], str]:
    """Returns the rows after the cursor, and the cursor of the next page, or "" on the last page.

    The columns of the model's order are numbers, except the last one, which is the id. The cursor
    contains the position of the last row, so later pages are as fast as the first.
    Raises: APIError 400 for a cursor of a list with other filters.
    """
    order = rows.model._meta.ordering
    digest = hashlib.blake2b(orjson.dumps(sorted(filters.items())), digest_size=6).hexdigest()
    if after:
        rows = rows.filter(_is_after(_position(after, digest, order)))
    found = list(rows[: limit + 1])
    if len(found) <= limit:
        return found, ""
    last = found[limit - 1]
    position = [digest, *_position_of(last, order[:-1]).values(), str(last.pk)]
    return found[:limit], base64.urlsafe_b64encode(orjson.dumps(position)).decode()


def _position(cursor: str, digest: str, order: Sequence[str]) -> dict[str, Any]:
    try:
        found, *numbers, key = orjson.loads(base64.urlsafe_b64decode(cursor[:256]))
        if found != digest:
            raise ValueError(cursor)
        return dict(zip(order, [*map(int, numbers), uuid.UUID(key)], strict=True))
    except (ValueError, TypeError, AttributeError):
        detail = "Must be the cursor of the previous page of the same list."
        raise invalid(Validation("after", detail)) from None


def _position_of(row: Any, order: Sequence[str]) -> dict[str, Any]:
    """Returns the value of each column of the order."""
    return {name: getattr(row, name.removeprefix("-")) for name in order}


def _is_after(position: Mapping[str, Any]) -> Q:
    """Returns a filter for the rows after this position in the list.

    The condition on the first column follows from the others, but PostgreSQL needs it to use an
    index.
    """
    equal, later, first = Q(), Q(), Q()
    for name, value in position.items():
        column, how = name.removeprefix("-"), "lt" if name.startswith("-") else "gt"
        later |= equal & Q(**{f"{column}__{how}": value})
        equal &= Q(**{column: value})
        first = first or Q(**{f"{column}__{how}e": value})
    return first & later


# --- Counts -----------------------------------------------------------------------------------


# The counts of a week are hundreds of thousands of rows, so results are cached. Each result is read
# from one snapshot, and contains the time when it was read.
def kept_sums(name: str, *, capacity: int) -> Memory[Any, Any]:
    """Returns a cache for sums. A change of a noise rule empties it."""
    ages: Any = {"max_age": 60.0, "max_age_disconnected": 60.0}
    return Memory(name, capacity=capacity, topics=(RULE_TOPIC,), **ages)


_SUMMARIES: Memory[tuple[datetime, str], dict[str, Any]] = kept_sums("csp summary", capacity=16)


def summary(*, since: datetime, now: datetime, site: str = "") -> dict[str, Any]:
    """Returns the numbers of groups by state, and of reports since that time, as of one moment.

    Counts all sites if `site` is "".
    Reports are counted by hour, so the period starts at a full hour. The numbers are at most a
    minute old. Hidden groups count only as noise.
    """
    key = whole_hour(since), site
    return read_once(_SUMMARIES, key, lambda: _summary(*key, now))


def _summary(since: datetime, site: str, now: datetime) -> dict[str, Any]:
    groups = groups_at(now).visible().of_site(site)
    states = groups.order_by().values_list("site", "current")
    is_new = Q(first_seen__gte=since)
    with snapshot():
        counted = list(states.annotate(all=Count("pk"), new=Count("pk", filter=is_new)))
        sums = _directive_sums(since, site)
    counts, need, directives, of_sites = (Counter[str]() for _ in range(4))
    for name, state, number, _ in counted:
        counts[state] += number
        need[name] += number if state in OPEN else 0
    noise = 0
    for name, directive, is_hidden, reports in sums:
        if is_hidden:
            noise += reports
        else:
            directives[directive] += reports
            of_sites[name] += reports
    most = sorted(directives.items(), key=lambda item: (-item[1], item[0]))
    return {
        "as_of": now,
        "site": site,
        "since": since,
        "groups_by_state": {state: counts[state] for state in CURRENT_STATES},
        "new_groups": sum(new for *_, new in counted),
        "reports": directives.total(),
        "noise_reports": noise,
        "directives": [
            {"directive": directive, "reports": reports}
            for directive, reports in most[:MAX_DIRECTIVES]
        ],
        "sites": [
            {"site": name, "open_groups": need[name], "reports": of_sites[name]}
            for name in sorted({*need, *of_sites}, key=lambda name: (name == OTHER_SITE, name))
        ],
    }


def _directive_sums(since: datetime, site: str) -> list[tuple[str, str, bool, int]]:
    """Returns the reports per site and directive, and whether they are noise."""
    is_visible = When(noise_rule_id=0, group__noise_rule=None, then=Value(False))
    hidden = Case(is_visible, default=Value(True))
    hours = GroupHour.objects.filter(hour__gte=since)
    columns = ("group__site", "group__directive")
    counted = (hours.filter(group__site=site) if site else hours).values(*columns)
    rows = counted.annotate(hidden=hidden, sum=Sum("reports"))
    return list(rows.values_list(*columns, "hidden", "sum"))


def attention_lists(now: datetime, *, site: str = "") -> list[Any]:
    """Returns the visible groups that have regressed, and those that are new, most clients first.

    They are two lists, so that PostgreSQL uses an index. The `site` "" means all sites.
    """
    visible = groups_at(now).visible().of_site(site)
    return [visible.filter(in_state(now, state)) for state in (REGRESSED, State.NEW)]


def most_urgent(now: datetime, *, limit: int, site: str = "") -> list[Any]:
    """Returns the first groups of both lists together."""
    found: list[Any] = []
    for groups in attention_lists(now, site=site):
        found += groups[: limit - len(found)]
    return found


def neighbors(
    group: Any, lists: Sequence[Any], order: Sequence[str] = ()
) -> tuple[uuid.UUID | None, uuid.UUID | None]:
    """Returns the ids of the previous and the next group, or None.

    The page shows the `lists` one below the other, each in this order. If there are two lists,
    the first one has the regressed groups. The group comes from `groups_at`, and need not be
    in a list. Takes two or three queries.
    """
    order = order or group._meta.ordering
    place = 0 if group.current == REGRESSED else len(lists) - 1
    after = _position_of(group, order)
    before = {name[1:] if name.startswith("-") else f"-{name}": after[name] for name in order}
    following = [lists[place].filter(_is_after(after)), *lists[place + 1 :]]
    earlier = [*lists[:place], lists[place].filter(_is_after(before))]
    return _first(rows.reverse() for rows in reversed(earlier)), _first(following)


def _first(lists: Iterable[Any]) -> uuid.UUID | None:
    """Returns the id of the first group, or None."""
    found = (rows.values_list("pk", flat=True).first() for rows in lists)
    return next((key for key in found if key), None)
