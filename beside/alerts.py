"""Alerts if the Coder deployment does not respond."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from django.conf import settings
from django.urls import reverse

from alerts.kinds import CODER_UNAVAILABLE
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from beside.client import Breaker, CoderUnavailableError, ask

# The job that sends alerts asks Coder once in each run. It alerts after three failures in a row,
# whether Coder does not respond, or responds with an error.
BREAKER = Breaker()


@register
class CoderSource(Source):
    kinds = (CODER_UNAVAILABLE,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        if settings.CODER_URL and _is_unavailable(now):
            yield Event(kind=CODER_UNAVAILABLE, subject_key="coder", title="Coder does not respond")

    def details(self, alert: Alert, now: datetime) -> Details:
        facts = [("Reason", reason)] if (reason := BREAKER.failures.reason) else []
        return Details(facts=facts, links=[("Open the admin", reverse("admin:index"))])


@lru_cache(maxsize=1)
def _is_unavailable(now: datetime) -> bool:
    """Asks Coder, once for all channels of a run."""
    try:
        ask("/api/v2/buildinfo", token="", passes_breaker=True).require_success()
        BREAKER.record("")
    except CoderUnavailableError as error:
        BREAKER.record(str(error))
    return BREAKER.is_open
