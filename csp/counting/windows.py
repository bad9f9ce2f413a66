"""Counts the groups again after each day, so that their numbers are those of the last days.

The writer only adds to the numbers of a group (`csp.writing.batch`). So after midnight they also
contain the reports of a day before the window, until the job has counted the group again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from csp.models import DistinctHash, Group, window_start
from csp.writing.distinct import EXACT, IS_LARGE, PAGE
from kernel.db.sql import execute

# A batch with reports of these groups waits until their numbers are committed.
GROUPS_AT_ONCE = 100
_COUNT = f"""
UPDATE csp_group AS stored
SET window_start = %(start)s, reports = hours.reports, noise_reports = hours.noise_reports,
    client_days = hours.client_days, pages = round(hashes.pages * greatest(1, rate))
FROM csp_group AS known, LATERAL (
    SELECT known.pages AS number, known.pages::float / {EXACT} AS rate
) AS each, LATERAL (
    SELECT coalesce(sum(reports) FILTER (WHERE noise_rule_id = 0), 0) AS reports,
        coalesce(sum(reports) FILTER (WHERE noise_rule_id > 0), 0) AS noise_reports,
        coalesce(sum(client_days), 0) AS client_days
    FROM csp_grouphour WHERE group_id = known.id AND hour >= %(since)s
) AS hours, LATERAL (
    SELECT count(*) AS pages FROM csp_distincthash
    WHERE group_id = known.id AND kind = {PAGE} AND (number <= {EXACT} OR NOT {IS_LARGE})
) AS hashes
WHERE known.id = ANY(%(groups)s) AND stored.id = known.id
"""  # noqa: S608 - only constants


def recount_groups(now: datetime) -> int:
    """Counts the groups again whose numbers contain days before the window. Returns their number.

    A group whose numbers are all 0 needs no change.
    """
    start, moved = window_start(now), 0
    has_numbers = Q(reports__gt=0) | Q(noise_reports__gt=0) | Q(client_days__gt=0) | Q(pages__gt=0)
    old = Group.objects.filter(has_numbers, window_start__lt=start.date()).order_by("pk")
    groups: list[UUID] | None = None
    while groups is None or groups:
        with transaction.atomic():
            # The writer updates groups in the same order, so neither waits for the other forever.
            groups = list(old.values_list("pk", flat=True).select_for_update()[:GROUPS_AT_ONCE])
            values: dict[str, Any] = {"groups": groups, "start": start.date(), "since": start}
            # After the lock, these statements see all reports of the groups.
            DistinctHash.objects.filter(group__in=groups, day__lt=start.date()).delete()
            execute(_COUNT, values)
        moved += len(groups)
    return moved
