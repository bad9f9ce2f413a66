from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model
from psycopg.types.json import Jsonb

from audit.models import PARTITIONS, Entry
from kernel.db import connections
from kernel.http.results import results_of
from kernel.telemetry import logs

# PostgreSQL returns this SQLSTATE if no partition matches an inserted row.
CHECK_VIOLATION = "23514"
BATCH = 1_000

COLUMNS = (
    "created_at", "actor_id", "actor_name", "action", "target_type", "target_id", "target_name",
    "subject_id", "subject_name", "ip_address", "request_id", "before", "after",
)  # fmt: skip
# The last part of a statement that also writes the target. Append the name of the common table
# expression that returns the target. Without a row of it, no entry is inserted.
INSERT_ENTRY = f"""
INSERT INTO audit_entry ({", ".join(COLUMNS)})
SELECT {", ".join(["%s"] * len(COLUMNS))} FROM"""

# All actions that the code records.
ACTIONS = frozenset(
    {"api_key.create", "api_key.delete", "api_key.expire", "api_key.rename", "api_key.shorten"}
    | {"coder_token.expire", "coder_token.expire_failed", "coder_token.warn"}
    | {"alert_channel.delete", "alert_channel.save", "backup.create", "csp.group.decide"}
    | {"csp.group.undo"}
    | {"csp.ingest_key.save", "csp.noise_rule.delete", "csp.noise_rule.label_groups"}
    | {"csp.noise_rule.save", "token_config.delete", "token_config.set"}
    | {"user.create", "user.delete", "user.erase", "user.password", "user.rename", "user.roles"}
    | {"user.sign_in", "user.sign_in_failed", "user.sign_out", "user.status"}
)


@dataclass(frozen=True, slots=True)
class Actor:
    """The user or the command that does an action.

    `user_id` is None for a command, and for a caller who is not signed in.
    """

    user_id: uuid.UUID | None = None
    name: str = ""
    address: str = ""


SYSTEM = Actor(name="system")


def actor_of(request: Any) -> Actor:
    """Returns the actor of a request: the user and the client address."""
    user, address = request.user, results_of(request).address
    return Actor(user_id=user.pk, name=getattr(user, "username", ""), address=address)


@dataclass(frozen=True, slots=True)
class Target:
    """The object that an action changes. The subject is the user that the object belongs to."""

    type: str
    id: str
    name: str = ""
    subject_id: uuid.UUID | None = None
    subject_name: str = ""


def user_target(user_id: uuid.UUID, name: str = "") -> Target:
    """Returns a user as the target of an audit entry. The user is also its subject."""
    return Target("user", str(user_id), name, user_id, name)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one target. `before` and `after` must not contain secrets."""

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
    """Writes an audit entry in the current transaction.

    `before` and `after` must not contain secrets.
    """
    return record_all(action, [Change(target, before, after)], actor=actor, now=now)[0]


def record_all(
    action: str, changes: Iterable[Change], *, actor: Actor, now: datetime
) -> list[Entry]:
    """Writes an audit entry for each change, in the current transaction."""
    values = [_values(action, change, actor=actor, now=now) for change in changes]
    entries = [Entry(**dict(zip(COLUMNS, row, strict=True))) for row in values]
    write = partial(Entry.objects.bulk_create, entries, batch_size=BATCH)
    return with_partition(transaction.atomic(write), now=now)


def save_recorded[M: Model](
    name: str, row: M, facts: Callable[[M], dict[str, Any]], *, actor: Actor, now: datetime
) -> None:
    """Saves the row, and records its facts before and after. The action is `name`.save.

    The type of the target is the last part of `name`. Does nothing if the row has no change.
    """
    with transaction.atomic():
        old = type(row)._default_manager.filter(pk=row.pk).first()
        if is_same(row, old):
            return
        before = facts(old) if old else None
        row.save()
        target, after = _target_of(name, row), facts(row)
        record(f"{name}.save", actor=actor, target=target, now=now, before=before, after=after)


def is_same(row: Model, old: Model | None) -> bool:
    """Returns whether the stored row `old` has the same values, apart from the times of saving."""
    fields = [each for each in row._meta.concrete_fields if not getattr(each, "auto_now", False)]
    return old is not None and all(
        getattr(row, each.attname) == getattr(old, each.attname) for each in fields
    )


def delete_recorded[M: Model](
    name: str, row: M, facts: Callable[[M], dict[str, Any]], *, actor: Actor, now: datetime
) -> None:
    """Deletes the row, and records its facts. The action is `name`.delete."""
    target, before = _target_of(name, row), facts(row)
    with transaction.atomic():
        row.delete()
        record(f"{name}.delete", actor=actor, target=target, now=now, before=before)


def _target_of(name: str, row: Model) -> Target:
    return Target(name.rpartition(".")[2], str(row.pk), str(row))


def with_partition[T](write: Callable[[], T], *, now: datetime) -> T:
    """Runs `write`, a transaction or savepoint that inserts an audit entry. Returns its result.

    If the partition for `now` does not exist, creates it and runs `write` again.
    """
    try:
        return write()
    except IntegrityError as error:
        if connections.sqlstate(error) != CHECK_VIOLATION:
            raise
    PARTITIONS.ensure(now, now)
    return write()


def entry_values(action: str, change: Change, *, actor: Actor, now: datetime) -> list[object]:
    """Returns the values of an audit entry for INSERT_ENTRY."""
    values = _values(action, change, actor=actor, now=now)
    return [Jsonb(value) if isinstance(value, dict) else value for value in values]


def _values(action: str, change: Change, *, actor: Actor, now: datetime) -> list[object]:
    """Returns the values of COLUMNS."""
    target = change.target
    return [
        *(now, actor.user_id, actor.name, action, target.type, target.id, target.name),
        *(
            target.subject_id,
            target.subject_name,
            actor.address,
            logs.current_request_id(),
            change.before,
            change.after,
        ),
    ]


def drop_old_entries(*, retention: timedelta, now: datetime) -> int:
    """Drops the partitions that are older than `retention`. Returns how many were dropped.

    A retention of 0 keeps all partitions.
    """
    return len(PARTITIONS.drop_before(now - retention)) if retention else 0
