"""Metrics of session tokens, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from kernel.telemetry import metrics
from tokens.models import APIKey


def _live(now: datetime) -> metrics.Values:
    return {(): APIKey.objects.live(now).count()}


metrics.database_gauge("coderapi_session_tokens", "Live session tokens.", _live)
