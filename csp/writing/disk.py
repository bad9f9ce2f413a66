"""Limits the disk space of stored reports.

Above the limit, the writer counts reports but stores none. The job `limit_csp_disk` drops the
oldest days before that happens, but never the current day.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings

from csp.models import REPORTS, midnight
from kernel.db.sql import fetch_rows
from kernel.telemetry.metrics import database_gauge
from kernel.text.humanize import size

MEASURE_SECONDS = 60.0
# The job keeps this share of the space free, so that the writer never has to stop.
FREE = 0.1
# The size of the reports with their indexes. It does not read the tables.
_BYTES = """
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
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


class DiskLimit:
    """Measures the stored reports once a minute. Only one thread may use an instance."""

    def __init__(self) -> None:
        self._has_room = True
        self.forget()

    def forget(self) -> None:
        self._measured_at = float("-inf")

    def has_room(self, connection: psycopg.Connection[Any]) -> bool:
        """Returns whether further reports may be stored."""
        if time.monotonic() - self._measured_at < MEASURE_SECONDS:
            return self._has_room
        row = connection.execute(_BYTES).fetchone()
        had_room = self._has_room
        self._has_room = not settings.CSP_MAX_DISK or not row or row[0] < settings.CSP_MAX_DISK
        self._measured_at = time.monotonic()
        if had_room and not self._has_room:
            limit = size(settings.CSP_MAX_DISK)
            log.warning("CSP reports are counted but not stored: they fill %s.", limit)
        return self._has_room
