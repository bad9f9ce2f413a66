"""Gauges of the update check, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from deployment.models import UpdateCheck
from deployment.updatecheck import update
from kernel.telemetry import metrics


def _update_check_age(now: datetime) -> metrics.Values:
    known = UpdateCheck.objects.first()
    if known is None or known.succeeded_at is None:
        return {}
    return {(): (now - known.succeeded_at).total_seconds()}


metrics.database_gauge(
    "coderapi_update_check_age_seconds",
    "How long ago Coder's newest release was last learnt; absent before the first time.",
    _update_check_age,
)
metrics.database_gauge(
    "coderapi_coder_version_current",
    "1 while no newer release of Coder is known than the one that we speak for, else 0.",
    lambda now: {(): float(update().current)},
)
