"""Forgetting a person: each app says what it holds of one, and what it does with it.

An app on a higher floor registers its part where its `AppConfig` gets ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import transaction

from audit.models import Entry
from audit.services import Actor, Target, record
from kernel.http.errors import APIError
from users import selectors
from users.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is held of a person in one place. `erase` is None for what is kept, and `fate` says why.

    `count` and `erase` take the user; both run before the user's own row goes.
    """

    what: str
    fate: str
    count: Callable[[User], int]
    erase: Callable[[User], Any] | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A part, and how many rows of it there were."""

    part: Part
    rows: int


_parts: list[Part] = []


def register(part: Part) -> None:
    _parts.append(part)


def survey(user: User) -> list[Outcome]:
    """What is held of the user, in the order in which it would go. Nothing is changed."""
    return [Outcome(part, part.count(user)) for part in _parts]


def erase(user: User, *, actor: Actor, now: datetime) -> list[Outcome]:
    """What was held of the user, and is now erased or kept as each part says.

    One audit row says that it was done, by the id alone. Raises: APIError 400 for the last owner.
    """
    with transaction.atomic():
        remaining = selectors.active_owners().exclude(pk=user.pk).exists()
        if not remaining and selectors.active_owners().filter(pk=user.pk).exists():
            raise APIError(400, "The last active owner cannot be taken away.")
        found = survey(user)
        for part in _parts:
            if part.erase is not None:
                part.erase(user)
        target = Target("user", str(user.pk))
        user.delete()
        after = {outcome.part.what: outcome.rows for outcome in found}
        record("user.erase", actor=actor, target=target, now=now, after=after)
    return found


def _entries(user: User) -> int:
    return Entry.objects.of_person(user.pk).count()


def _sessions(user: User) -> list[str]:
    """The keys of the user's admin sessions: Django keeps whose they are inside, encoded."""
    return [
        session.pk
        for session in Session.objects.iterator()
        if str(session.get_decoded().get("_auth_user_id", "")) == str(user.pk)
    ]


def _end_sessions(user: User) -> None:
    Session.objects.filter(pk__in=_sessions(user)).delete()


register(
    Part(
        what="audit entries",
        fate="kept until CODER_AUDIT_LOGS_RETENTION drops them: the trail is append-only, and says "
        "who did what to the deployment",
        count=_entries,
        erase=None,
    )
)
register(
    Part(
        what="admin sessions",
        fate="erased",
        count=lambda user: len(_sessions(user)),
        erase=_end_sessions,
    )
)
register(
    Part(
        what="notes of changes in the admin",
        fate="erased with the user",
        count=lambda user: LogEntry.objects.filter(user=user).count(),
        erase=lambda user: LogEntry.objects.filter(user=user).delete(),
    )
)
register(
    Part(
        what="notes about the user in the admin",
        fate="erased: they repeat the name",
        count=lambda user: _notes_about(user).count(),
        erase=lambda user: _notes_about(user).delete(),
    )
)


def _notes_about(user: User) -> Any:
    return LogEntry.objects.filter(object_id=str(user.pk), content_type__app_label="users")
