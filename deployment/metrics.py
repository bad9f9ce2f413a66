"""Gauges of the update check."""

from __future__ import annotations

from datetime import datetime

from deployment.models import CoderUpdateCheck
from deployment.updatecheck import update
from kernel.telemetry import metrics


def _update_check_age(now: datetime) -> metrics.Values:
    check = CoderUpdateCheck.objects.first()
    if check is None or check.succeeded_at is None:
        return {}
    return {(): (now - check.succeeded_at).total_seconds()}


metrics.database_gauge(
    "coderapi_coder_update_check_age_seconds",
    "Time since the last successful update check of Coder; absent before the first one.",
    _update_check_age,
)
metrics.database_gauge(
    "coderapi_coder_update_available",
    "1 if a release of Coder newer than the running one is known, else 0.",
    lambda now: {(): float(not update().current)},
)
