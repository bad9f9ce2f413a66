"""Writing the trail of who did what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from audit.models import PARTITIONS, Entry
from coderapi import database, logs

# PostgreSQL's answer where no partition takes a row.
CHECK_VIOLATION = "23514"


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
    entry = Entry(
        at=now,
        actor_id=actor.user_id,
        actor_name=actor.name,
        action=action,
        target_type=target.type,
        target_id=target.id,
        target_name=target.name,
        address=actor.address,
        request_id=logs.current_request_id(),
        before=before,
        after=after,
    )
    _insert(entry)
    return entry


def _insert(entry: Entry) -> None:
    """Inserts the entry, and makes its partition when it is the first of a new one."""
    try:
        with transaction.atomic():
            entry.save(force_insert=True)
    except IntegrityError as error:
        if database.sqlstate(error) != CHECK_VIOLATION:
            raise
        PARTITIONS.ensure(entry.at, entry.at)
        entry.save(force_insert=True)


def drop_old_entries(*, retention: timedelta, now: datetime) -> int:
    """How many partitions were dropped: those whose entries are all older than `retention`.

    A retention of 0 keeps everything.
    """
    return len(PARTITIONS.drop_before(now - retention)) if retention else 0
