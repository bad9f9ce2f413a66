"""Limits the disk space of stored reports.

Above the limit, the writer counts reports but stores none. The job `limit_csp_disk` drops the
oldest days before that happens, but never the current day.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from django.conf import settings

from csp.models import REPORTS, midnight
from kernel.db.sql import fetch_rows
from kernel.telemetry.metrics import database_gauge
from kernel.text.humanize import size

MEASURE_SECONDS = 60.0
# The job keeps this share of the space free, so that the writer never has to stop.
FREE = 0.1
# The sizes of the reports, and of the hashes of their pages and clients, with the indexes. It does
# not read the tables.
_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint,
    pg_total_relation_size('csp_distincthash')
FROM pg_inherits WHERE inhparent = 'csp_report'::regclass
"""

log = logging.getLogger(__name__)


def stored_bytes() -> int:
    """Returns the disk space of the stored reports and their indexes."""
    return int(fetch_rows(_BYTES)[0][0])


database_gauge(
    "coderapi_csp_disk_bytes",
    "The disk space of stored CSP reports.",
    lambda now: {(): float(stored_bytes())},
)
database_gauge(
    "coderapi_csp_disk_limit_bytes",
    "The limit of the disk space of stored CSP reports. Absent without a limit.",
    lambda now: {(): float(settings.CSP_MAX_DISK)} if settings.CSP_MAX_DISK else {},
)


def limit_disk(now: datetime) -> int:
    """Drops the oldest days until the reports fit. Returns the number of dropped days."""
    today = midnight(now)
    dropped = 0
    for first in REPORTS.starts():
        fits = stored_bytes() <= settings.CSP_MAX_DISK * (1 - FREE)
        if not settings.CSP_MAX_DISK or fits or first >= today:
            break
        if not REPORTS.drop(first):
            break  # A dump still reads the reports.
        dropped += 1
    if dropped:
        limit = size(settings.CSP_MAX_DISK)
        log.warning("Dropped days of CSP reports: %s. The limit is %s.", dropped, limit)
    return dropped


class Room(NamedTuple):
    """The free disk space: whether reports may be stored, and whether pages may be counted."""

    reports: bool
    pages: bool


_FULL = (
    "CSP reports are counted but not stored: they fill %s.",
    "No further pages and clients of a version are counted: the hashes of CSP reports fill %s.",
)


class DiskLimit:
    """Measures the stored reports and hashes once a minute. Only one thread may use an instance."""

    def __init__(self) -> None:
        self._room = Room(reports=True, pages=True)
        self.forget()

    def forget(self) -> None:
        self._measured_at = float("-inf")

    def room(self, connection: psycopg.Connection[Any]) -> Room:
        if time.monotonic() - self._measured_at >= MEASURE_SECONDS:
            before, limit = self._room, settings.CSP_MAX_DISK
            sizes = connection.execute(_BYTES).fetchone() or (0, 0)
            self._room = Room(*(not limit or each < limit for each in sizes))
            self._measured_at = time.monotonic()
            for had_room, has_room, text in zip(before, self._room, _FULL, strict=True):
                if had_room and not has_room:
                    log.warning(text, size(limit))
        return self._room
