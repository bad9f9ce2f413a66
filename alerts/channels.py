"""Saves and tests alert channels."""

from __future__ import annotations

import base64
import hashlib
import secrets
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.forms.models import model_to_dict

from alerts.models import Alert, Channel
from alerts.recording import record_due
from alerts.sending import MAX_ERROR, send_message, test_message
from audit.services import Actor, delete_recorded, save_recorded
from kernel.limiter import Limiter, LimitReachedError
from kernel.outgoing import OutgoingError

# A receiver that hangs occupies a thread that could serve requests.
TESTS = Limiter(
    "tests of alert channels",
    limit=2,
    full="Other channels are being tested right now. Try again in a few seconds.",
)


def check_address(form: str, address: str) -> None:
    """Raises: ValidationError if alerts of this form cannot be sent to the address."""
    if form == Channel.Type.EMAIL:
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
    if form == Channel.Type.NTFY and not parts.path.strip("/"):
        raise ValidationError("The URL must end with the topic, as in https://ntfy.sh/my-topic.")


def save_channel(channel: Channel, *, actor: Actor, now: datetime) -> None:
    """Saves a channel. Makes the signing secret of a new channel.

    After a channel is enabled, it gets no alerts of earlier events.
    """
    with transaction.atomic():
        was_enabled = Channel.objects.filter(pk=channel.pk, is_enabled=True).exists()
        if not channel.secret:  # In the form of Standard Webhooks.
            channel.secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        save_recorded("alert_channel", channel, _facts, actor=actor, now=now)
        if channel.is_enabled and not was_enabled:
            record_due(channel, now=now, status=Alert.Status.KNOWN)


def send_test(channel: Channel, *, actor: Actor, now: datetime) -> bool:
    """Sends a test alert. The first accepted test enables the channel. Returns whether it did.

    Raises: OutgoingError if the receiver did not accept the alert, or if other tests are running.
    """
    try:
        with TESTS.hold():
            send_message(channel, test_message(channel, now))
    except LimitReachedError as error:
        raise OutgoingError(error.detail) from None
    except OutgoingError as error:
        channel.note_failure(str(error)[:MAX_ERROR], now=now)
        raise
    with transaction.atomic():
        # During the test, another user may have changed or deleted the channel.
        untested = Channel.objects.select_for_update().filter(pk=channel.pk, accepted_at=None)
        stored = untested.first()
        if stored is None:
            channel.note_success(now=now)
            return False
        stored.accepted_at, stored.is_enabled = now, True
        save_channel(stored, actor=actor, now=now)
    return True


def delete_channel(channel: Channel, *, actor: Actor, now: datetime) -> None:
    """Deletes the channel with its alerts and deliveries."""
    delete_recorded("alert_channel", channel, _facts, actor=actor, now=now)


def _facts(channel: Channel) -> dict[str, Any]:
    """Returns the fields that can be edited, without the address."""
    facts = model_to_dict(channel, exclude=["id", "address"])
    facts |= {name: str(facts[name] or "") for name in ("quiet_from", "quiet_until")}
    # It shows that another address was entered, without the address.
    digest = hashlib.sha256(channel.address.encode()).hexdigest()[:12]
    return facts | {"address": channel.shown_address, "address_digest": digest}
