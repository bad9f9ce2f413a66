from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.urls import reverse

from kernel.admin_cards import Line, register
from tokens.models import APIKey

SOON = timedelta(days=1)


def _lines(now: datetime) -> list[Line]:
    live = APIKey.objects.filter(expires_at__gte=now)
    counts = live.aggregate(
        all=Count("*"),
        used=Count("id", filter=Q(last_used__gte=now - SOON)),
        ending=Count("id", filter=Q(expires_at__lt=now + SOON)),
    )
    url = reverse("admin:tokens_apikey_changelist")
    return [
        Line("live", str(counts["all"]), link=url),
        Line("used in the last 24 h", str(counts["used"])),
        Line("expiring within 24 h", str(counts["ending"])),
    ]


register("Session tokens", _lines, order=61)
