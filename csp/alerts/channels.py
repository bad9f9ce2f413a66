"""Saves and tests alert channels."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from audit.services import Actor
from csp.alerts.deliveries import send_alert, test_of
from csp.alerts.events import record_due
from csp.models import AlertChannel, AlertDelivery
from csp.services import delete_recorded, save_recorded


def check_address(kind: str, address: str) -> None:
    """Raises: ValidationError if alerts of this kind cannot be sent to the address."""
    if kind == AlertChannel.Kind.EMAIL:
        if not settings.MAILERS:
            raise ValidationError("Set CODER_EMAIL_SMARTHOST first, so that mail can be sent.")
        validate_email(address)
        return
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValidationError("Enter the complete URL of the webhook.")


def shown_address(channel: AlertChannel) -> str:
    """Returns the address without the parts that may be secret: of a URL, only the host."""
    if channel.kind == AlertChannel.Kind.EMAIL:
        return channel.address
    return urlsplit(channel.address).hostname or ""


def save_channel(channel: AlertChannel, *, actor: Actor, now: datetime) -> None:
    """Saves a channel. Makes the signing secret of a new channel.

    After a channel is enabled, it gets no alerts of earlier events.
    """
    with transaction.atomic():
        was_enabled = AlertChannel.objects.filter(pk=channel.pk, enabled=True).exists()
        channel.secret = channel.secret or secrets.token_hex(32)
        save_recorded(channel, "alert_channel", _facts, actor=actor, now=now)
        if channel.enabled and not was_enabled:
            record_due(channel, now=now, status=AlertDelivery.Status.KNOWN)


def send_test(channel: AlertChannel, *, actor: Actor, now: datetime) -> bool:
    """Sends a test alert. The first accepted test enables the channel. Returns whether it did.

    Raises: OutgoingError or OSError if the receiver did not accept the alert.
    """
    send_alert(channel, test_of(channel))
    enables = channel.accepted_at is None
    if enables:
        channel.accepted_at, channel.enabled = now, True
        save_channel(channel, actor=actor, now=now)
    return enables


def delete_channel(channel: AlertChannel, *, actor: Actor, now: datetime) -> None:
    """Deletes the channel with its deliveries."""
    delete_recorded(channel, "alert_channel", _facts, actor=actor, now=now)


def _facts(channel: AlertChannel) -> dict[str, Any]:
    return {
        "kind": channel.kind,
        "address": shown_address(channel),
        # It shows that another address was entered, without the address.
        "address_digest": hashlib.sha256(channel.address.encode()).hexdigest()[:12],
        "enabled": channel.enabled,
        "min_reach": channel.min_reach,
        "hourly_limit": channel.hourly_limit,
    }
