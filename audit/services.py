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

# The SQLSTATE of an insert without a matching partition.
CHECK_VIOLATION = "23514"
BATCH = 1_000

# All actions that callers record.
ACTIONS = frozenset(
    {"api_key.create", "api_key.delete", "api_key.expire", "api_key.rename", "api_key.shorten"}
    | {"csp.ingest_key.save", "csp.noise_rule.delete", "csp.noise_rule.hide_stored"}
    | {"csp.noise_rule.save", "token_config.delete", "token_config.set"}
    | {"user.create", "user.delete", "user.erase", "user.password", "user.roles", "user.status"}
    | {"user.sign_in", "user.sign_in_failed", "user.sign_out"}
)


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, or a command if `user_id` is None."""

    user_id: uuid.UUID | None = None
    name: str = ""
    address: str = ""


SYSTEM = Actor(name="system")


def actor_of(request: Any) -> Actor:
    """Returns the user and address of a request to the API or the admin."""
    user, address = request.user, getattr(request, "client_address", "")
    return Actor(user_id=user.pk, name=getattr(user, "username", ""), address=address)


@dataclass(frozen=True, slots=True)
class Target:
    """The object of an action."""

    type: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One of several changes made together. `before` and `after` hold no secret."""

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
    """Writes an entry in the current transaction. `before` and `after` hold no secret."""
    return record_all(action, [Change(target, before, after)], actor=actor, now=now)[0]


def record_all(
    action: str, changes: Iterable[Change], *, actor: Actor, now: datetime
) -> list[Entry]:
    """Writes one entry for each change in the current transaction."""
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
    """Inserts the entries, and creates their partition if it does not exist."""
    try:
        with transaction.atomic():
            Entry.objects.bulk_create(entries, batch_size=BATCH)
    except IntegrityError as error:
        if connections.sqlstate(error) != CHECK_VIOLATION:
            raise
        PARTITIONS.ensure(now, now)
        Entry.objects.bulk_create(entries, batch_size=BATCH)


def drop_old_entries(*, retention: timedelta, now: datetime) -> int:
    """Drops the partitions older than `retention`; 0 keeps all. Returns their number."""
    return len(PARTITIONS.drop_before(now - retention)) if retention else 0
