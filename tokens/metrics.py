"""Metrics of session tokens, for Prometheus."""

from __future__ import annotations

from datetime import datetime

from kernel.telemetry import metrics
from tokens.models import APIKey
from tokens.verification import MEMORY

metrics.sampled_counter(
    "coderapi_key_memory_hits",
    "Lookups of session tokens that the cache answered.",
    lambda: MEMORY.hits,
)
metrics.sampled_counter(
    "coderapi_key_memory_misses",
    "Lookups of session tokens that were not in the cache.",
    lambda: MEMORY.misses,
)


def _live(now: datetime) -> metrics.Values:
    return {(): APIKey.objects.filter(expires_at__gte=now).count()}


metrics.database_gauge("coderapi_session_tokens", "Live session tokens.", _live)
