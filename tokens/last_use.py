"""Writes that keys and their users were used, and the new expiry of the keys.

This happens at most once an hour for each key, in the look-up of the key. So the time of the last
use is up to an hour old while a key is in use.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
from django.db import DatabaseError

from kernel.db.connections import fetch
from kernel.humanize import plural

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


class Touch(NamedTuple):
    """One use of a key. `read_expires_at` is the expiry before this use."""

    key_id: str
    user_id: uuid.UUID
    read_expires_at: datetime
    lifetime_ns: int
    expires_at: datetime
    used_at: datetime
    address: str | None


def write(touches: Sequence[Touch]) -> None:
    """Writes the touches. If that fails, the keys are still valid, so the error is only logged."""
    try:
        fetch(WRITE, [orjson.dumps([touch._asdict() for touch in touches]).decode()])
    except DatabaseError as error:
        log.warning("the use of %s was not written: %s", plural(len(touches), "key"), error)
