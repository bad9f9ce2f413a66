"""Writing the trail of who did what."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from audit.models import PARTITIONS, Entry
from kernel.db import connections
from kernel.telemetry import logs

# PostgreSQL's answer where no partition takes a row.
CHECK_VIOLATION = "23514"
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: a user, or a command or the service itself where `user_id` is None."""

    user_id: uuid.UUID | None = None
    name: str = ""
    address: str = ""


SYSTEM = Actor(name="system")


@dataclass(frozen=True, slots=True)
class Target:
    """What it was done to."""

    type: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One of many things done at once: to what, and how it was and is. Neither holds a secret."""

    target: Target
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


def record(
    action: str,
    *,
    actor: Actor,
    target: Target,
    now: datetime,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Entry:
    """The new entry, written with the surrounding transaction. No secret is in what it is given."""
    return record_all(action, [Change(target, before, after)], actor=actor, now=now)[0]


def record_all(
    action: str, changes: Iterable[Change], *, actor: Actor, now: datetime
) -> list[Entry]:
    """The new entries, one a change, written together with the surrounding transaction."""
    entries = [_entry(action, change, actor=actor, now=now) for change in changes]
    _insert(entries, now)
    return entries


def _entry(action: str, change: Change, *, actor: Actor, now: datetime) -> Entry:
    return Entry(
        at=now,
        actor_id=actor.user_id,
        actor_name=actor.name,
        action=action,
        target_type=change.target.type,
        target_id=change.target.id,
        target_name=change.target.name,
        address=actor.address,
        request_id=logs.current_request_id(),
        before=change.before,
        after=change.after,
    )


def _insert(entries: list[Entry], now: datetime) -> None:
    """Inserts the entries, and makes their partition when they are the first of a new one."""
    try:
        with transaction.atomic():
            Entry.objects.bulk_create(entries, batch_size=BATCH)
    except IntegrityError as error:
        if connections.sqlstate(error) != CHECK_VIOLATION:
            raise
        PARTITIONS.ensure(now, now)
        Entry.objects.bulk_create(entries, batch_size=BATCH)


def drop_old_entries(*, retention: timedelta, now: datetime) -> int:
    """How many partitions were dropped: those whose entries are all older than `retention`.

    A retention of 0 keeps everything.
    """
    return len(PARTITIONS.drop_before(now - retention)) if retention else 0
