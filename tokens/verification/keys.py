"""Reads our own keys, caches the results, and stores when the keys were last used.

`MEMORY` caches identities and errors. Its keys are keyed hashes of tokens, so that the cache
contains no usable secret. When a key or a user changes, a database trigger notifies this process,
and the process evicts the cached entries.

After the lookup of a key, its thread stores when the key and its user were last used, and the new
expiry of the key, at most once an hour. So the time of the last use is up to an hour old while a
key is in use. The requests do not wait for this, and while many keys are looked up, one statement
writes the uses of many. If the process is killed meanwhile, these uses are lost.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import orjson
from django.conf import settings
from django.db import DatabaseError

from kernel.db.connections import deadline, fetch
from kernel.memory import CachedValue, Memory
from kernel.telemetry.logs import REPEATS
from kernel.text.durations import to_timedelta
from kernel.text.humanize import plural
from tokens import token_format
from tokens.lifetimes import TOUCH_INTERVAL
from tokens.verification import batches, providers, refusals
from tokens.verification.batches import Found, LookUps, Wanted
from users import allow_lists
from users.models import User
from users.permissions import KeyIdentity

KEY_TOPIC = "key"
USER_TOPIC = "user"
MEMORY: Memory[bytes, Found] = Memory(
    "keys", capacity=20_000, topics=(KEY_TOPIC, USER_TOPIC), max_age=60.0
)
# The result for a token that is not ours. Such an id stays unknown, because ids are random.
FOREIGN = refusals.unknown()
# SHA-256 after a block with a secret key. It is as fast as without the key. HMAC would hash twice.
_KEYED = hashlib.sha256(secrets.token_bytes(64))
# With this number of touches, the next lookup writes them first.
MAX_DUE = 500
LOOK_UP = """
SELECT key.id, key.hashed_secret, key.is_minted, key.scopes, key.allow_list, key.lifetime_ns,
    key.created_at, key.last_used, key.expires_at, person.id, person.username, person.roles,
    person.status
FROM tokens_apikey AS key JOIN users_user AS person ON person.id = key.user_id
WHERE key.id = ANY(%s)
"""


# Skips keys that another request has expired or shortened in the meantime, and users who were
# suspended. Also skips locked rows, because waiting for them could cause a deadlock. They are
# touched at the next lookup.
WRITE = """
WITH touch AS (
    SELECT * FROM json_to_recordset(%s::json) AS touch (
        key_id text, user_id uuid, read_expires_at timestamptz, lifetime_ns bigint,
        expires_at timestamptz, used_at timestamptz, address inet
    )
), key AS (
    SELECT touch.* FROM touch JOIN tokens_apikey AS key ON key.id = touch.key_id
    WHERE key.expires_at = touch.read_expires_at AND key.lifetime_ns = touch.lifetime_ns
    FOR NO KEY UPDATE OF key SKIP LOCKED
), touched AS (
    UPDATE tokens_apikey SET expires_at = key.expires_at, last_used = key.used_at,
        updated_at = key.used_at, ip_address = key.address
    FROM key WHERE tokens_apikey.id = key.key_id
), owner AS (
    SELECT user_id, max(used_at) AS used_at FROM touch GROUP BY user_id
), person AS (
    SELECT owner.* FROM owner JOIN users_user AS person ON person.id = owner.user_id
    WHERE person.status <> 'suspended'
    FOR NO KEY UPDATE OF person SKIP LOCKED
)
UPDATE users_user SET status = 'active', last_seen_at = person.used_at
FROM person WHERE users_user.id = person.user_id
RETURNING users_user.id
"""

log = logging.getLogger(__name__)
log.addFilter(REPEATS)


class FoundKey(NamedTuple):
    """A key and its user, with the columns of LOOK_UP in their order. `allow_list` is JSON."""

    key_id: str
    hashed_secret: bytes
    is_minted: bool
    scopes: list[str]
    allow_list: str
    lifetime_ns: int
    created_at: datetime
    last_used: datetime | None
    expires_at: datetime
    user_id: uuid.UUID
    username: str
    roles: list[str]
    status: str


def fingerprint_of(token: str) -> bytes:
    keyed = _KEYED.copy()
    keyed.update(token.encode())
    return keyed.digest()


def is_ours(token: str) -> bool:
    """Returns whether a verified token is one of our own keys, and not of another service."""
    return MEMORY.get(fingerprint_of(token)) is not FOREIGN


def _look_up(batch: Sequence[Wanted]) -> list[Found]:
    """Returns the result for each token, and caches all. Takes one query."""
    generation = MEMORY.generation
    with deadline(batches.LOOK_UP_SECONDS):
        rows = fetch(LOOK_UP, [list({wanted.parts.key_id for wanted in batch})])
    keys = {key.key_id: key for key in map(FoundKey._make, rows)}
    if len(_due) >= MAX_DUE:
        write_due()
    # Several requests may have the same token.
    results = {wanted.fingerprint: _result(wanted, keys, _due) for wanted in batch}
    MEMORY.keep(results, generation=generation)
    return [results[wanted.fingerprint].value for wanted in batch]


def _result(
    wanted: Wanted, keys: Mapping[str, FoundKey], touches: deque[Touch]
) -> CachedValue[Found]:
    """Returns the result for a token. Adds its touch to `touches` once an hour."""
    found, now = keys.get(wanted.parts.key_id), wanted.now
    if found is None and providers.other():
        return CachedValue(FOREIGN, lasting=True)
    by_key = (KEY_TOPIC, wanted.parts.key_id)
    # Compare a digest even without a key, so that both take the same time.
    stored, digest = found.hashed_secret if found else bytes(32), token_format.digest
    if not hmac.compare_digest(stored, digest(wanted.parts.secret)) or found is None:
        # The result is `lasting`, because no later change can make this token valid.
        return CachedValue(refusals.unknown(), tags=(by_key,), lasting=True)
    if found.expires_at < now:
        return CachedValue(refusals.expired(found.expires_at), tags=(by_key,), lasting=True)
    tags = (by_key, (USER_TOPIC, str(found.user_id)))
    if found.status == User.Status.SUSPENDED:
        return CachedValue(refusals.suspended(), tags=tags)
    key, next_touch = _used(found, now)
    if key is not found:
        touches.append(
            Touch(
                *(key.key_id, key.user_id, found.expires_at, key.lifetime_ns, key.expires_at, now),
                wanted.address or None,
            )
        )
    until = min(key.expires_at, next_touch)
    return CachedValue(_identity_of(key), tags=tags, max_age=(until - now).total_seconds())


def _used(key: FoundKey, now: datetime) -> tuple[FoundKey, datetime]:
    """Returns the key after this use, and the earliest time at which a use changes it again.

    A use changes `last_used` an hour after the last change, and extends the expiry an hour after
    the last extension. The first use of a key, or of a dormant user, always changes it. Lifetimes
    are limited, so PostgreSQL and Python can always represent the new expiry.
    """
    lifetime = to_timedelta(key.lifetime_ns)
    refresh = key.expires_at - lifetime + TOUCH_INTERVAL
    if settings.DISABLE_SESSION_EXPIRY_REFRESH:
        refresh = datetime.max.replace(tzinfo=UTC)
    touch = key.last_used and min(key.last_used + TOUCH_INTERVAL, refresh)
    if touch and touch > now and key.status != User.Status.DORMANT:
        return key, touch
    expires_at = now + lifetime if refresh <= now else key.expires_at
    used = key._replace(last_used=now, expires_at=expires_at, status=User.Status.ACTIVE)
    return used, now + TOUCH_INTERVAL if refresh <= now else min(now + TOUCH_INTERVAL, refresh)


def _identity_of(key: FoundKey) -> KeyIdentity:
    return KeyIdentity(
        user_id=key.user_id,
        username=key.username,
        roles=frozenset(key.roles),
        key_id=key.key_id,
        scopes=tuple(key.scopes),
        allow_list=allow_lists.loaded(orjson.loads(key.allow_list)),
        expires_at=key.expires_at,
        lifetime_ns=key.lifetime_ns,
        is_minted=key.is_minted,
    )


class Touch(NamedTuple):
    """One use of a key. `read_expires_at` is the expiry before this use."""

    key_id: str
    user_id: uuid.UUID
    read_expires_at: datetime
    lifetime_ns: int
    expires_at: datetime
    used_at: datetime
    address: str | None


_due: deque[Touch] = deque()


def write_due() -> None:
    """Writes the touches of the keys that were looked up."""
    touches = []
    with suppress(IndexError):  # Another thread may write, too.
        while True:
            touches.append(_due.popleft())
    if touches:
        write(touches)


def write(touches: Sequence[Touch]) -> None:
    """Writes the touches. If that fails, the keys are still valid, so the error is only logged."""
    try:
        with deadline(batches.LOOK_UP_SECONDS):
            fetch(WRITE, [orjson.dumps([touch._asdict() for touch in touches]).decode()])
    except DatabaseError as error:
        log.warning("the use of %s was not written: %s", plural(len(touches), "key"), error)


LOOKUPS = LookUps(_look_up, write_due)
