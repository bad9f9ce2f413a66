from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Least
from django.dispatch import receiver
from django.urls import reverse
from psycopg.errors import SerializationFailure
from psycopg.types.json import Jsonb

from audit.services import (
    INSERT_ENTRY,
    SYSTEM,
    Actor,
    Change,
    Target,
    entry_values,
    record,
    record_all,
)
from kernel.db.connections import fetch
from kernel.http.errors import APIError, Validation, invalid, not_found
from kernel.text.durations import to_timedelta
from tokens import token_format
from tokens.models import APIKey, APIKeyQuerySet, TokenConfig
from tokens.token_format import TokenParts
from tokens.verification.keys import KEY_TOPIC, MEMORY
from users import allow_lists
from users import scopes as known_scopes
from users.allow_lists import EVERYTHING, AllowList
from users.erasure import ErasureRule, register
from users.models import User
from users.selectors import user_exists
from users.services import create_first_user, lock_user, password_changed

if TYPE_CHECKING:
    from tokens.policy.resolution import Policy

COLUMNS = [field.attname for field in APIKey._meta.concrete_fields]
# FOR SHARE allows other transactions to create keys for the user at the same time, but not to
# change the user.
_INSERT = f"""
person AS (
    SELECT FROM {{source}}
    WHERE users_user.id = %s AND roles = %s::varchar[] AND password = %s FOR SHARE OF users_user
), key AS (
    INSERT INTO tokens_apikey ({", ".join(COLUMNS)})
    SELECT {", ".join(["%s"] * len(COLUMNS))} FROM person RETURNING id
)
{INSERT_ENTRY} key RETURNING id
"""  # noqa: S608 - the columns are constants
INSERT_KEY = f"WITH {_INSERT.format(source='users_user')}"
# Inserts the key only if the policies still have this version. Locks the version before the user.
MINT_KEY = f"""
WITH policies AS (SELECT FROM tokens_policyversion WHERE version = %s FOR SHARE),
{_INSERT.format(source="policies, users_user")}
"""


class NewKey(NamedTuple):
    """A new key and its session token. The secret is stored nowhere else."""

    key: APIKey
    token: str


def create_api_key(
    user: User,
    *,
    lifetime_ns: int,
    now: datetime,
    actor: Actor = SYSTEM,
    token_name: str = "",
    scopes: Sequence[str] = (known_scopes.ALL,),
    allow_list: AllowList = EVERYTHING,
    parts: TokenParts | None = None,
    limits: Policy | None = None,
) -> NewKey:
    """Creates a key for the user. `is_minted` is true with a name or `limits`.

    Call it in a transaction that has inserted another audit entry, or in `audit.with_partition`.
    Raises: APIError 400 for a user of another service, 404 if the user was deleted, 409 if another
    request changed the user; SerializationFailure if `limits` are no longer those of the user.
    """
    if user.is_copy:  # Its roles may be outdated.
        raise APIError(400, f"{user.username} is a user of Coder. Create the token there.")
    parts = parts or token_format.generate()
    key = APIKey(
        id=parts.key_id,
        hashed_secret=token_format.digest(parts.secret),
        user=user,
        token_name=token_name,
        login_type=APIKey.LoginType.TOKEN if token_name else APIKey.LoginType.PASSWORD,
        is_minted=limits is not None or bool(token_name),
        scopes=[known_scopes.canonical(scope) for scope in scopes],
        allow_list=allow_lists.stored(allow_list),
        lifetime_ns=lifetime_ns,
        expires_at=now + to_timedelta(lifetime_ns),
        created_at=now,
        updated_at=now,
    )
    _insert(key, limits, actor=actor, now=now)
    return NewKey(key, parts.token)


def _insert(key: APIKey, limits: Policy | None, *, actor: Actor, now: datetime) -> None:
    """Inserts the key and its audit entry."""
    user, change = key.user, Change(target_of(key), after=_facts(key))
    values = [getattr(key, column) for column in COLUMNS]
    values[COLUMNS.index("allow_list")] = Jsonb(key.allow_list)
    values = [user.id, user.roles, user.password, *values]
    entry = entry_values("api_key.create", change, actor=actor, now=now)
    statement, given = (INSERT_KEY, []) if limits is None else (MINT_KEY, [limits.version])
    if not fetch(statement, [*given, *values, *entry], commits=True):
        # `lock_user` raises the error if the user was deleted or changed.
        with transaction.atomic():
            lock_user(user)
        raise SerializationFailure("A token policy has changed since it was read.")


def target_of(key: APIKey) -> Target:
    """Returns the key as the target of an audit entry."""
    return Target("api_key", key.id, key.token_name, key.user_id, key.user.username)


def _facts(key: APIKey) -> dict[str, Any]:
    """Returns the key's values for the audit trail, without the secret and its digest."""
    return {
        "user_id": str(key.user_id),
        "login_type": str(key.login_type),
        "is_minted": key.is_minted,
        "scopes": key.scopes,
        "allow_list": key.allow_list,
        "lifetime_ns": key.lifetime_ns,
        "expires_at": key.expires_at.isoformat(),
    }


def rename_token(token: APIKey, name: str, *, actor: Actor, now: datetime) -> None:
    """Renames a live token.

    Raises: APIError 400 for an invalid name, 404 for a session or an expired token, 409 if the name
    is in use.
    """
    validated_name(name)
    with unused_name(name), _locked([token]) as keys:
        key = next((key for key in keys if key.token_name and not key.is_expired(now)), None)
        if key is None:
            raise not_found()
        if key.token_name == name:
            return
        before, after = {"token_name": key.token_name}, {"token_name": name}
        target = target_of(key)
        record("api_key.rename", actor=actor, target=target, now=now, before=before, after=after)
        _rows([key]).update(token_name=name, updated_at=now)


def validated_name(name: str) -> str:
    """Returns the name unchanged. Raises: APIError 400 for an invalid token name."""
    if problem := token_format.name_problem(name):
        raise invalid(Validation("token_name", problem))
    return name


@contextmanager
def unused_name(name: str) -> Iterator[None]:
    """Converts the database's error for a duplicate name. Raises: APIError 409."""
    try:
        yield
    except IntegrityError as error:
        if "api_key_name_unique" not in str(error):
            raise
        used = [Validation("name", "This name is already in use.")]
        message = f"You already have a token named {name!r}."
        raise APIError(409, message, validations=used) from None


def expire_keys(keys: Iterable[APIKey], *, actor: Actor, now: datetime, reason: str = "") -> int:
    """Sets the expiry of live keys to now. Returns the number of expired keys.

    The rows are not deleted, so that lists can still show the keys.
    """
    after = {"expires_at": now.isoformat()} | ({"reason": reason} if reason else {})
    with _locked(keys) as locked:
        live = [key for key in locked if not key.is_expired(now)]
        changes = [
            Change(target_of(key), before={"expires_at": key.expires_at.isoformat()}, after=after)
            for key in live
        ]
        record_all("api_key.expire", changes, actor=actor, now=now)
        _rows(live).update(expires_at=now, updated_at=now)
    return len(live)


def delete_keys(keys: Iterable[APIKey], *, actor: Actor, now: datetime) -> int:
    """Deletes keys. Returns the number of deleted keys."""
    with _locked(keys) as locked:
        changes = [Change(target_of(key), before=_facts(key)) for key in locked]
        record_all("api_key.delete", changes, actor=actor, now=now)
        _rows(locked).delete()
    return len(locked)


def shorten_keys(
    lifetimes: Mapping[APIKey, int], *, actor: Actor, now: datetime, reason: str
) -> int:
    """Shortens keys with a longer lifetime than the given one. Returns how many were shortened.

    The new lifetime begins now. A key whose old expiry time is earlier keeps this time.
    """
    changes, about = [], {"reason": reason}
    with _locked(lifetimes) as locked:
        longer = [key for key in locked if key.lifetime_ns > lifetimes[key]]
        for key in longer:
            before = _facts(key)
            key.lifetime_ns, key.updated_at = lifetimes[key], now
            key.expires_at = min(key.expires_at, now + to_timedelta(key.lifetime_ns))
            changes.append(Change(target_of(key), before=before, after=_facts(key) | about))
        # Few limits differ. `bulk_update` would need seconds for thousands of keys.
        for limit in {key.lifetime_ns for key in longer}:
            rows = _rows(key for key in longer if key.lifetime_ns == limit)
            expires_at = Least("expires_at", now + to_timedelta(limit))
            rows.update(lifetime_ns=limit, expires_at=expires_at, updated_at=now)
        record_all("api_key.shorten", changes, actor=actor, now=now)
    return len(longer)


@contextmanager
def _locked(keys: Iterable[APIKey]) -> Iterator[list[APIKey]]:
    """Begins a transaction and locks the keys' users, then the keys. Yields the locked keys.

    Keys that were deleted in the meantime are omitted. After the commit, this process evicts the
    keys from its cache. The tables' triggers notify the other processes.
    """
    given = list(keys)
    with transaction.atomic():
        users = User.objects.select_for_update().filter(pk__in={key.user_id for key in given})
        list(users.order_by("pk").values_list("pk"))
        rows = _rows(given).select_related("user")
        locked = list(rows.select_for_update(of=("self",)).order_by("pk"))
        yield locked
        for key in locked:
            transaction.on_commit(partial(MEMORY.evict, (KEY_TOPIC, key.pk)))


def _rows(keys: Iterable[APIKey]) -> APIKeyQuerySet:
    return APIKey.objects.filter(pk__in=[key.pk for key in keys])


def ensure_first_owner(*, now: datetime) -> tuple[NewKey, str] | None:
    """Creates the first owner. Returns a new key and the generated password.

    The password is "" if CODERAPI_FIRST_OWNER_PASSWORD is set. Returns None if a user exists, or if
    the settings contain no username for the first owner. Raises: APIError 400 if a setting of the
    first owner is not valid.
    """
    username = settings.FIRST_OWNER_USERNAME
    if not username or user_exists():
        return None
    generated = "" if settings.FIRST_OWNER_PASSWORD else secrets.token_urlsafe(18)
    email = settings.FIRST_OWNER_EMAIL or f"{username}@localhost.localdomain"
    owner, password = User(username=username, email=email), settings.FIRST_OWNER_PASSWORD
    try:
        with transaction.atomic():
            create_first_user(
                owner,
                password or generated,
                actor=SYSTEM,
                now=now,
                generated=bool(generated),
            )
            new = create_api_key(owner, lifetime_ns=settings.MAX_ADMIN_TOKEN_LIFETIME_NS, now=now)
    except APIError as error:
        if error.status == 409:  # Another server has just created the first user.
            return None
        raise
    return new, generated


@receiver(password_changed)
def delete_other_keys(
    user: User, kept_key_id: str, actor: Actor, now: datetime, **more: Any
) -> None:
    """Deletes the user's keys after a change of the password, except `kept_key_id`.

    An attacker who knew the old password may have created some of these keys.
    """
    others = APIKey.objects.filter(user=user).exclude(id=kept_key_id)
    delete_keys(others, actor=actor, now=now)


register(
    ErasureRule(
        data="session tokens",
        outcome="erased",
        rows=lambda user: APIKey.objects.filter(user=user),
        page=lambda user: reverse("admin:tokens_apikey_changelist", query={"person": user}),
    )
)
register(
    ErasureRule(
        data="token policies",
        outcome="erased",
        rows=lambda user: TokenConfig.objects.filter(user=user),
        page=lambda user: reverse("admin:tokens_tokenconfig_explain", query={"user": user}),
    )
)
