"""Metrics of the requests to Coder, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from beside import client
from beside.models import ReaderProgress
from kernel.telemetry import metrics


def _newest_row_age(now: datetime) -> metrics.Values:
    if not settings.CODER_DATABASE_URL:
        return {}
    follower = ReaderProgress.objects.filter(pk=ReaderProgress.Reader.FOLLOWER).first()
    newest = follower.newest_row_at if follower else None
    return {(): (now - newest).total_seconds()} if newest else {}


metrics.database_gauge(
    "coderapi_coder_database_newest_row_age_seconds",
    "Age of the newest agent row that was read from Coder's database; absent before the first one.",
    _newest_row_age,
)
metrics.sampled_gauge(
    "coderapi_coder_unavailable",
    "1 if a process does not send requests to Coder because Coder does not respond, else 0.",
    lambda: {(): float(client.is_unavailable())},
    mode="livemax",
)
