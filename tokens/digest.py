"""Mail about tokens that end soon, to their owners and to the owners of the deployment.

It goes out 30, 7 and 1 days before, at most once a day to a person, on however many replicas.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction

from kernel.db.connections import transaction_lock
from kernel.durations import to_timedelta
from tokens.models import APIKey, ExpiryNotice
from users.models import User
from users.selectors import active_owners

DAYS = (1, 7, 30)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """A token that ends soon, and the number of days ahead for which the mail is due."""

    key: APIKey
    days: int


def is_on() -> bool:
    """Tells if there are a mail server and a sender."""
    return bool(settings.MAILERS) and bool(settings.DEFAULT_FROM_EMAIL)


def send_digests(now: datetime) -> int:
    """Sends the mails. Returns how many. One that fails is logged, and the next run tries again."""
    sent = 0
    for recipient, lines in _by_recipient(_due(now)).items():
        try:
            sent += _send_once(recipient, lines, now)
        # A user or a key may be deleted meanwhile.
        except (OSError, IntegrityError) as error:
            log.warning("a digest could not be sent: %s", type(error).__name__)
    return sent


def _due(now: datetime) -> list[Line]:
    """Returns the tokens for which a mail is due, but none made to live no longer than that."""
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
        if passed and to_timedelta(key.lifetime_ns) > timedelta(days=passed[0]):
            lines.append(Line(key, passed[0]))
    return lines


def _by_recipient(lines: Iterable[Line]) -> dict[User, list[Line]]:
    """Gives everybody their own tokens, and owners of the deployment everyone's."""
    found: dict[User, list[Line]] = defaultdict(list)
    admins = list(active_owners())
    for line in lines:
        for recipient in {line.key.user, *admins}:
            found[recipient].append(line)
    return found


def _send_once(recipient: User, lines: list[Line], now: datetime) -> int:
    """Sends a mail; returns 0 if there is nothing new or the person had one today, else 1.

    The notices are committed with the mail: if it fails, they are undone.
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
