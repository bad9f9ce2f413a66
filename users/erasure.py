"""Deletes and erases users. Each app registers the data that it stores about a user."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.urls import reverse

from audit.models import Entry
from audit.services import Actor, record, user_target
from kernel.db.connections import retry_on_conflict
from kernel.http.errors import forbidden
from users.models import User
from users.services import keeping_an_owner, lock_user, require_another_owner, target_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureRule:
    """A rule for one kind of data about a user.

    `data` is the name of the data and `outcome` describes what happens to it, both for pages.
    `rows` returns the rows about the user, or their number. By default, these rows are deleted
    before the user's own row. If `kept` is true, the rows are kept. If `erase` is set, it is called
    instead of deleting the rows. If `outlives` is true, the rule applies only when a user is
    erased, not when a user is deleted, and `erase` is called before the transaction that deletes
    the user. `page` returns the URL of the admin page that lists the rows.
    """

    data: str
    outcome: str
    rows: Callable[[User], QuerySet[Any] | int]
    kept: bool = False
    outlives: bool = False
    erase: Callable[[User], Any] | None = None
    page: Callable[[User], str] | None = None


type Survey = list[tuple[ErasureRule, int]]

rules: list[ErasureRule] = []
register = rules.append


def survey(user: User, rules: Iterable[ErasureRule]) -> Survey:
    """Returns the number of rows for each rule."""
    found = ((rule, rule.rows(user)) for rule in rules)
    return [(rule, rows if isinstance(rows, int) else rows.count()) for rule, rows in found]


def rules_of_deletion() -> list[ErasureRule]:
    """Returns the rules that apply when a user is deleted."""
    return [rule for rule in rules if not rule.outlives]


def erase(user: User, *, actor: Actor, now: datetime, dry_run: bool = False) -> Survey:
    """Erases the user and applies every rule. Returns the number of rows for each rule.

    The audit entry contains only the user's id. A dry run changes nothing. Raises: APIError 400 for
    the last owner.
    """
    require_another_owner(user)
    if dry_run:
        return survey(user, rules)
    others = [rule for rule in rules if rule.outlives]
    found = survey(user, others)
    for rule in others:
        if rule.erase is not None:
            rule.erase(user)
    return _erase(user, found, actor=actor, now=now)


@retry_on_conflict
@keeping_an_owner()
def _erase(user: User, erased: Survey, *, actor: Actor, now: datetime) -> Survey:
    target = user_target(user.pk)
    found = [*_remove(lock_user(user), rules_of_deletion()), *erased]
    record("user.erase", actor=actor, target=target, now=now, after=_counts(found))
    return found


@retry_on_conflict
@keeping_an_owner()
def delete_user(user: User, *, actor: Actor, now: datetime) -> None:
    """Deletes the user, and applies the rules without `outlives`.

    The audit entry contains the username.

    Raises: APIError 403 for the caller's own account, 400 for the last owner.
    """
    if user.id == actor.user_id:
        raise forbidden("You cannot delete yourself.")
    stored = lock_user(user)
    target = target_of(stored)
    before = {"roles": stored.roles, "status": str(stored.status)}
    after = _counts(_remove(stored, rules_of_deletion()))
    record("user.delete", actor=actor, target=target, now=now, before=before, after=after)


def _remove(user: User, rules: Sequence[ErasureRule]) -> Survey:
    found = survey(user, rules)
    for rule in rules:
        if rule.erase is not None:
            rule.erase(user)
        elif not rule.kept and isinstance(rows := rule.rows(user), QuerySet):
            rows.delete()
    user.delete()
    return found


def _counts(found: Survey) -> dict[str, int]:
    return {rule.data: rows for rule, rows in found}


def _sessions(user: User) -> QuerySet[Session]:
    """Returns the user's admin sessions.

    Decodes all sessions, because a session contains the user's id only in its encoded data.
    """
    theirs = [
        session.pk
        for session in Session.objects.iterator()
        if session.get_decoded().get(SESSION_KEY) == str(user.pk)
    ]
    return Session.objects.filter(pk__in=theirs)


register(
    ErasureRule(
        data="audit entries",
        outcome="kept until CODER_AUDIT_LOGS_RETENTION ends: the audit trail is append-only",
        rows=lambda user: Entry.objects.of_person(user.pk),
        kept=True,
        page=lambda user: reverse("admin:audit_entry_changelist", query={"person": user.pk}),
    )
)
register(ErasureRule(data="admin sessions", outcome="erased", rows=_sessions))
