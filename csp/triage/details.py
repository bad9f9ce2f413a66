"""Reads the newest stored reports of a group: its facets, and the advice for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db import connection

from csp.advice.policy import Address
from csp.advice.suggestion import Advice, Blocked, Risk, advise, silenced
from csp.models import Group, State
from csp.noise.stored import MAX_READ
from csp.scrubbing.uris import address_of
from csp.triage.selectors import WEEK
from csp.writing.grouping import page_template

MAX_VALUES = 10
# The maximum number of different reports that the advice is computed from and tested with.
MAX_TESTED = 1_000
MAX_URLS = 200
# The paths of this service's pages. Coder's pages have other paths.
OWN_PATHS = tuple(f"{settings.ADMIN_PATH}{page}" for page in ("account", "admin", "swagger"))
FACETS = {
    "Page": "document_uri",
    "Disposition": "disposition",
    "Browser": "browser",
    "Coder version": "coder_version",
    "Source file": "source_file",
}
# For the advice, only the origin of the page matters.
_TESTED = "effective_directive, blocked_uri, origin, original_policy"
# A row has either the value of one facet, or the values of a different report.
_NEWEST = f"""
    SELECT sum(weight)::bigint, {", ".join(FACETS.values())}, {_TESTED},
           coalesce(sum(weight) FILTER (WHERE received_at > %s), 0)::bigint
    FROM (
        SELECT *, split_part(document_uri, '/', 1) || '//' || split_part(document_uri, '/', 3)
            AS origin
        FROM csp_report WHERE group_id = %s
        ORDER BY received_at DESC, id DESC LIMIT {MAX_READ}
    ) AS newest
    GROUP BY GROUPING SETS (({_TESTED}), {", ".join(f"({name})" for name in FACETS.values())})
    ORDER BY max(received_at) DESC
"""  # noqa: S608 - only constants


def details(group: Group, *, now: datetime) -> tuple[dict[str, list[dict[str, Any]]], Advice]:
    """Returns the facets of a group and the advice for it. Takes one query.

    The numbers are those of the newest stored reports, with their weights.
    """
    counters: dict[str, Counter[str]] = {title: Counter() for title in FACETS}
    tested = []
    with connection.cursor() as cursor:
        # `fetch` would use one plan for all groups, which sorts all reports of a large group.
        cursor.execute(_NEWEST, [now - WEEK, group.pk])
        rows = cursor.fetchall()
    for weight, *values in rows:
        directive, *report = values[len(FACETS) :]
        if directive is not None:
            tested.append((directive or group.directive, *report))
            continue
        for (title, counter), value in zip(counters.items(), values, strict=False):
            if value is not None:
                counter[page_template(address_of(value)) if title == "Page" else value] += weight
    del tested[MAX_TESTED:]
    urls = tuple(dict.fromkeys(row[1] for row in tested))[:MAX_URLS]
    page, policy = (tested[0][2], tested[0][3]) if tested else ("", "")
    advice = advise(Blocked(group.directive, group.blocked, urls, page, policy))
    week = sum(row[-1] for row in tested)
    advice = replace(advice, silenced=silenced(advice, tested), week_reports=week)
    return {title: _common(counter) for title, counter in counters.items()}, advice


def _common(counter: Counter[str]) -> list[dict[str, Any]]:
    """Returns the most frequent values. Shape: [coderapi.CSPShare]."""
    found = counter.most_common(MAX_VALUES)
    return [{"value": value or "(unknown)", "count": count} for value, count in found]


def is_own(url: str) -> bool:
    """Returns whether the page is one of this service, and not one of Coder."""
    page, own = Address.parse(url), Address.parse(settings.ACCESS_URL)
    if page is None or not page.path.startswith(OWN_PATHS):
        return False
    return own is None or page.host == own.host


_NEXT_STEPS = {
    "inline": "Find out where the code comes from",
    "eval": "Find the script that uses eval",
    "other": "Look at the reports",
    "unknown": "Look at the reports",
}


@admin.display(description="next step")
def next_step(group: Any) -> str:
    """Returns the advice in a few words. Reads only the group and its rule, not its reports.

    The group comes from `groups_at`, which annotates it with its current state.
    """
    if group.current in {State.IGNORED, State.RESOLVED}:
        return "None"
    if group.rule is not None and group.rule.enabled:
        return f"None (noise: {group.rule.category})"
    source = group.blocked
    url = f"https://{source}" if "." in source or source == "localhost" else source
    advice = advise(Blocked(group.directive, source, (url,), "", ""))
    if advice.entry:
        return f"Allow it (risk: {advice.risk}), or ignore it"
    default = "Do not allow it" if advice.risk is Risk.HIGH else "Ignore it"
    return _NEXT_STEPS.get(source, default)
