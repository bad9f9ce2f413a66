"""Metrics of users, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from kernel.telemetry import metrics
from users.selectors import counts_by_status


def _by_status(now: datetime) -> metrics.Values:
    return {(status.value,): count for status, count in counts_by_status().items()}


metrics.database_gauge("coderapi_users", "Users by status.", _by_status, labels=["status"])
