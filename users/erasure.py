"""Deleting or forgetting a person. Each app registers what it holds of one, and its fate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.urls import reverse

from audit.models import Entry
from audit.services import Actor, Target, record
from kernel.http.errors import forbidden
from users.models import User
from users.services import keeping_an_owner, lock, require_another_owner, target_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The rows about a person in one place, which are deleted, kept, or erased in a way of its own.

    `fate` says so to people. All of them go before the user's own row. A part that `outlives` the
    user stays when the user is deleted, and goes when the person is forgotten. `page` returns the
    address of the admin's page of these rows.
    """

    what: str
    fate: str
    rows: Callable[[User], QuerySet[Any]]
    kept: bool = False
    outlives: bool = False
    erase: Callable[[User], Any] | None = None
    page: Callable[[User], str] | None = None


type Survey = list[tuple[Part, int]]

_parts: list[Part] = []


def register(part: Part) -> None:
    _parts.append(part)


def survey(user: User, *, parts: Iterable[Part] | None = None) -> Survey:
    """Counts the rows of each of the parts, or of all, and changes nothing."""
    return [(part, part.rows(user).count()) for part in (_parts if parts is None else parts)]


def parts_of_deletion() -> list[Part]:
    """Returns the parts that the deletion of a user reaches."""
    return [part for part in _parts if not part.outlives]


def parts_with_page() -> list[Part]:
    return [part for part in _parts if part.page is not None]


def rehearse(user: User) -> Survey:
    """Returns what `erase` would, and changes nothing. Raises: APIError 400 for the last owner."""
    require_another_owner(user)
    return survey(user)


def erase(user: User, *, actor: Actor, now: datetime) -> Survey:
    """Erases or keeps what is held of the user, as each part says. Returns the counts.

    One audit entry says by the id alone that it was done. Raises: APIError 400 for the last owner.
    """
    with keeping_an_owner():
        target = Target("user", str(user.pk))
        found = _remove(lock(user), _parts)
        record("user.erase", actor=actor, target=target, now=now, after=_counts(found))
    return found


def delete_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Deletes the user with the parts that do not outlive them; the audit entry names the user.

    Raises: APIError 403 for oneself, 400 for the last owner.
    """
    if user.id == actor.user_id:
        raise forbidden("Nobody deletes themselves.")
    with keeping_an_owner():
        stored = lock(user)
        target, before = target_of(stored), {"roles": stored.roles, "status": str(stored.status)}
        after = _counts(_remove(stored, parts_of_deletion()))
        record("user.delete", actor=actor, target=target, now=now, before=before, after=after)


def _remove(user: User, parts: Sequence[Part]) -> Survey:
    found = survey(user, parts=parts)
    for part in parts:
        if part.erase is not None:
            part.erase(user)
        elif not part.kept:
            part.rows(user).delete()
    user.delete()
    return found


def _counts(found: Survey) -> dict[str, int]:
    return {part.what: rows for part, rows in found}


def _sessions(user: User) -> QuerySet[Session]:
    """Returns the user's admin sessions: only the encoded data names the user."""
    theirs = [
        session.pk
        for session in Session.objects.iterator()
        if str(session.get_decoded().get("_auth_user_id", "")) == str(user.pk)
    ]
    return Session.objects.filter(pk__in=theirs)


for _part in (
    Part(
        what="audit entries",
        fate="kept until CODER_AUDIT_LOGS_RETENTION drops them: the trail is append-only, and says "
        "who did what to the deployment",
        rows=lambda user: Entry.objects.of_person(user.pk),
        kept=True,
        page=lambda user: reverse("admin:audit_entry_changelist", query={"person": user.pk}),
    ),
    Part(what="admin sessions", fate="erased", rows=_sessions),
    Part(
        what="notes of changes in the admin",
        fate="erased with the user",
        rows=lambda user: LogEntry.objects.filter(user=user),
    ),
    Part(
        what="notes about the user in the admin",
        fate="erased: they repeat the name",
        rows=lambda user: LogEntry.objects.filter(
            object_id=str(user.pk), content_type__app_label="users"
        ),
    ),
):
    register(_part)
