"""Mail that says ahead which tokens are about to end: to their owners, and to the deployment's.

30, 7 and 1 days before, to a person at most once a day, however many replicas run the job.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

from kernel.db.connections import transaction_lock
from tokens.models import APIKey, ExpiryNotice
from tokens.services import span
from users.models import User
from users.selectors import active_owners

DAYS = (1, 7, 30)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """A token that is about to end, and the mark, in days ahead, that it has passed."""

    key: APIKey
    days: int


def is_on() -> bool:
    """Whether there is a mail server to send by, and a sender to name."""
    return bool(settings.MAILERS) and bool(settings.DEFAULT_FROM_EMAIL)


def send_digests(now: datetime) -> int:
    """How many mails were sent. A mail that fails is logged and tried again by the next run."""
    sent = 0
    for recipient, lines in _by_recipient(_due(now)).items():
        try:
            sent += _send_once(recipient, lines, now)
        except OSError as error:
            log.warning("a digest could not be sent: %s", type(error).__name__)
    return sent


def _due(now: datetime) -> list[Line]:
    """The tokens that have passed a mark; one made to live no longer than that has not."""
    keys = (
        APIKey.objects.tokens()
        .live(now)
        .filter(expires_at__lte=now + timedelta(days=max(DAYS)))
        .exclude(user__status=User.Status.SUSPENDED)
        .select_related("user")
        .order_by("expires_at", "id")
    )
    lines = []
    for key in keys:
        passed = [days for days in DAYS if key.expires_at - now <= timedelta(days=days)]
        if passed and span(key.lifetime_ns) > timedelta(days=passed[0]):
            lines.append(Line(key, passed[0]))
    return lines


def _by_recipient(lines: Iterable[Line]) -> dict[User, list[Line]]:
    """Everybody with their own tokens; owners of the deployment with everyone's."""
    found: dict[User, list[Line]] = defaultdict(list)
    admins = list(active_owners())
    for line in lines:
        for recipient in {line.key.user, *admins}:
            found[recipient].append(line)
    return found


def _send_once(recipient: User, lines: list[Line], now: datetime) -> int:
    """1 if a mail was sent, 0 if there is no news or the person had one today.

    What has been told is committed with the mail: should the mail fail, it has not been told.
    """
    today = now.astimezone(UTC).date()
    with transaction.atomic(), transaction_lock(f"digest:{recipient.pk}"):
        told = ExpiryNotice.objects.filter(recipient=recipient)
        if told.filter(sent_on=today).exists():
            return 0
        known = set(told.values_list("key_id", "expires_at", "days"))
        news = [one for one in lines if (one.key.pk, one.key.expires_at, one.days) not in known]
        if not news:
            return 0
        ExpiryNotice.objects.bulk_create(
            ExpiryNotice(
                recipient=recipient,
                key=one.key,
                expires_at=one.key.expires_at,
                days=one.days,
                sent_on=today,
            )
            for one in news
        )
        _message(recipient, news).send()
    return 1


def _message(recipient: User, lines: list[Line]) -> EmailMessage:
    count = f"{len(lines)} session tokens are" if len(lines) > 1 else "A session token is"
    listed = "\n".join(
        f"* {line.key.token_name} of {line.key.user.username}, id {line.key.pk}: "
        f"{line.key.expires_at:%Y-%m-%d %H:%M} UTC"
        for line in lines
    )
    return EmailMessage(
        subject=f"{count} about to end",
        body=f"{count} about to end on {settings.ACCESS_URL}:\n\n{listed}\n\n"
        "What still uses one needs a new token before then.\n",
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[recipient.email],
    )
