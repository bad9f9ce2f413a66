"""Jobs: mails about tokens that expire soon, and the deletion of expired keys and sessions.

The mails go to the users and to the deployment's owners. A mail is due 30, 7 and 1 days before a
token expires. Each recipient gets at most one mail a day, even if several replicas send mails.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction

from jobs.registry import Job, register
from kernel.db.connections import transaction_lock
from kernel.text.durations import to_timedelta
from kernel.text.humanize import plural
from tokens.models import APIKey, ExpiryNotice
from users.models import User
from users.selectors import active_owners

DAYS = (1, 7, 30)

log = logging.getLogger(__name__)


class Line(NamedTuple):
    """A token that expires soon. `days` is the smallest value of DAYS within which it expires."""

    key: APIKey
    days: int


def is_on() -> bool:
    """Returns whether a mail server and a sender are configured."""
    return bool(settings.MAILERS) and bool(settings.DEFAULT_FROM_EMAIL)


def send_expiry_mails(now: datetime) -> int:
    """Sends the mails that are due. Returns the number of sent mails.

    The next run retries mails that could not be sent.
    """
    # A token's user gets a mail, and every owner of the deployment.
    of_recipient: dict[User, list[Line]] = defaultdict(list)
    admins = list(active_owners())
    for line in _due(now):
        for recipient in {line.key.user, *admins}:
            of_recipient[recipient].append(line)
    sent = 0
    for recipient, lines in of_recipient.items():
        try:
            sent += _send_once(recipient, lines, now)
        # The user or a key was deleted in the meantime, or the address is not valid.
        except (OSError, IntegrityError, ValueError) as error:
            log.warning("A mail about expiring tokens could not be sent: %s", type(error).__name__)
    return sent


def _due(now: datetime) -> Iterator[Line]:
    """Yields the tokens that expire within 30, 7 or 1 days.

    Excludes a token if its whole lifetime is not longer than this number of days. For example, a
    token with a lifetime of 7 days is included only on its last day.
    """
    keys = (
        APIKey.objects.tokens()
        .live(now)
        .filter(expires_at__lte=now + timedelta(days=max(DAYS)))
        .exclude(user__status=User.Status.SUSPENDED)
        .select_related("user")
        .order_by("expires_at", "id")
    )
    for key in keys:
        days = next(days for days in DAYS if key.expires_at - now <= timedelta(days=days))
        if to_timedelta(key.lifetime_ns) > timedelta(days=days):
            yield Line(key, days)


def _send_once(recipient: User, lines: list[Line], now: datetime) -> int:
    """Sends a mail about the tokens. Returns the number of sent mails, 1 or 0.

    Sends no mail if all tokens are in earlier mails, or if the recipient has already got a mail
    today. If sending fails, the `ExpiryNotice` rows of this mail are rolled back.
    """
    today = now.astimezone(UTC).date()
    with transaction.atomic(), transaction_lock(f"expiry-mail:{recipient.pk}"):
        notices = ExpiryNotice.objects.filter(recipient=recipient)
        if notices.filter(sent_on=today).exists():
            return 0
        noticed = set(notices.values_list("api_key_id", "expires_at", "days_before"))
        news = [one for one in lines if (one.key.pk, one.key.expires_at, one.days) not in noticed]
        if not news:
            return 0
        notice = partial(ExpiryNotice, recipient=recipient, sent_on=today)
        ExpiryNotice.objects.bulk_create(
            notice(api_key=one.key, expires_at=one.key.expires_at, days_before=one.days)
            for one in news
        )
        _message(recipient, news).send()
    return 1


def _message(recipient: User, lines: list[Line]) -> EmailMessage:
    count = f"{plural(len(lines), 'session token')} are" if len(lines) > 1 else "A session token is"
    listed = "\n".join(
        f"* {line.key.token_name} of {line.key.user.username}, id {line.key.pk}: "
        f"{line.key.expires_at:%Y-%m-%d %H:%M} UTC"
        for line in lines
    )
    return EmailMessage(
        subject=f"{count} about to expire",
        body=f"{count} about to expire on {settings.ACCESS_URL}:\n\n{listed}\n\n"
        "Programs that use such a token need a new one before it expires.\n",
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[recipient.email],
    )


def _prune(now: datetime) -> int:
    """Deletes expired sessions of the admin, and old expired keys. Returns the number of rows.

    A retention of 0 keeps all keys.
    """
    deleted = Session.objects.filter(expire_date__lt=now).delete()[0]
    if retention := settings.API_KEYS_RETENTION:
        deleted += APIKey.objects.filter(expires_at__lt=now - retention).delete()[0]
    return deleted


HOUR = timedelta(hours=1)
register(Job(name="prune_api_keys", every=HOUR, run=_prune))
register(Job(name="send_token_expiry_mail", every=HOUR, run=send_expiry_mails, enabled=is_on))
