"""Saves alert channels."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from audit.services import Actor, Target, record
from csp.alerts.deliveries import record_due
from csp.models import AlertChannel, AlertDelivery

Kind = AlertChannel.Kind


def check_address(kind: str, address: str) -> None:
    """Raises: ValidationError if alerts of this kind cannot be sent to the address."""
    if kind == Kind.EMAIL:
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
    if channel.kind == Kind.EMAIL:
        return channel.address
    return urlsplit(channel.address).hostname or ""


def save_channel(channel: AlertChannel, *, actor: Actor, now: datetime) -> None:
    """Saves a channel. Makes the signing secret of a new channel.

    After a channel is enabled, it gets no alerts of earlier events.
    """
    with transaction.atomic():
        before = AlertChannel.objects.filter(pk=channel.pk).first()
        channel.secret = channel.secret or secrets.token_hex(32)
        channel.save()
        if channel.enabled and (before is None or not before.enabled):
            record_due(channel, now=now, status=AlertDelivery.Status.KNOWN)
        record(
            "csp.alert_channel.save",
            actor=actor,
            target=_target(channel),
            now=now,
            before=_facts(before),
            after=_facts(channel),
        )


def delete_channel(channel: AlertChannel, *, actor: Actor, now: datetime) -> None:
    """Deletes the channel with its deliveries."""
    target, before = _target(channel), _facts(channel)
    with transaction.atomic():
        channel.delete()
        record("csp.alert_channel.delete", actor=actor, target=target, now=now, before=before)


def _target(channel: AlertChannel) -> Target:
    return Target("alert_channel", str(channel.pk), channel.name)


def _facts(channel: AlertChannel | None) -> dict[str, object] | None:
    if channel is None:
        return None
    return {
        "kind": channel.kind,
        "address": shown_address(channel),
        # It shows that another address was entered, without the address.
        "address_digest": hashlib.sha256(channel.address.encode()).hexdigest()[:12],
        "enabled": channel.enabled,
        "min_reach": channel.min_reach,
        "hourly_limit": channel.hourly_limit,
    }
