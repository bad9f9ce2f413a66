"""Alerts about tokens that expire, and their section of the weekly digest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.urls import reverse

from alerts.kinds import TOKEN_EXPIRING
from alerts.models import Alert, Channel
from alerts.sources import Details, Event, Source, register
from alerts.weekly import register_section
from kernel.text.humanize import ago
from tokens.lifetimes import SOON, expires_soon, last_use
from tokens.models import APIKey, APIKeyQuerySet

# A token that was used within this time is in use.
USED = timedelta(days=30)
MAX_EVENTS = 10_000


def _expiring(now: datetime, until: datetime) -> APIKeyQuerySet:
    """Returns the tokens in use that expire before `until`. Sessions are not tokens."""
    return APIKey.objects.tokens().filter(
        expires_at__gt=now, expires_at__lt=until, last_used__gt=now - USED
    )


@register
class TokenSource(Source):
    kinds = (TOKEN_EXPIRING,)

    def due(self, channel: Channel, now: datetime) -> Iterator[Event]:
        found = _expiring(now, now + SOON).select_related("user").order_by("expires_at")
        for key in found[:MAX_EVENTS]:
            if expires_soon(key.expires_at, key.lifetime_ns, now=now):
                what = f"{key.token_name} of {key.user} on {key.expires_at:%Y-%m-%d %H:%M} UTC"
                yield Event(
                    kind=TOKEN_EXPIRING, subject_key=key.pk, title=what, occurred_at=key.expires_at
                )

    def still_due(self, alerts: list[Alert], now: datetime) -> list[Alert]:  # type: ignore[override]
        live = APIKey.objects.live(now).filter(pk__in=[alert.subject_key for alert in alerts])
        expiries = dict(live.values_list("pk", "expires_at"))
        return [alert for alert in alerts if expiries.get(alert.subject_key) == alert.occurred_at]

    def details(self, alert: Alert, now: datetime) -> Details:
        key = APIKey.objects.select_related("user").get(pk=alert.subject_key)
        facts = [
            ("Token", f"{key.token_name} ({key.pk})"),
            ("Owner", key.user.username),
            ("Expires", f"{key.expires_at:%Y-%m-%d %H:%M} UTC, {ago(key.expires_at, now=now)}"),
            ("Last used", last_use(key.last_used, now=now)),
        ]
        page = reverse("admin:tokens_apikey_change", args=[key.pk])
        return Details(facts=facts, links=[("Open the token", page)])


def _week(since: datetime, until: datetime) -> Iterator[tuple[str, str]]:
    if number := _expiring(until, until + SOON).count():
        yield "in use, and expire within a week", f"{number:,}"


register_section("Tokens", _week)
