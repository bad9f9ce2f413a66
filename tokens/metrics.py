"""Metrics of session tokens, for Prometheus."""

from __future__ import annotations

from kernel.telemetry import metrics
from tokens.models import APIKey

metrics.database_gauge(
    "coderapi_session_tokens",
    "Live session tokens.",
    lambda now: {(): APIKey.objects.live(now).count()},
)
