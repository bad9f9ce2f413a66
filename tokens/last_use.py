"""Writes that keys and their users were used, without making requests wait for the commit.

A touch is one use of a key: its time, its address and the new expiry. A request adds its touch to
a queue. A thread writes all waiting touches in one statement, and ends when no touch is waiting. If
the process stops or the database fails first, the touch is lost, and the next lookup of the key
adds it again. The requests do not write touches themselves, because they then took twice as long.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from datetime import datetime
from typing import NamedTuple

import orjson

from kernel.db.connections import fetch
from kernel.humanize import plural

# The thread waits this long before it writes, so that one commit stores several touches.
PAUSE_SECONDS = 0.05

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


class TouchWriter:
    """The queue of touches, with at most one touch of each key, and its thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Touch] = {}
        self._is_running = False

    def add(self, touch: Touch) -> None:
        with self._lock:
            self._waiting[touch.key_id] = touch
            if not self._is_running:
                threading.Thread(target=self._run, name="touches", daemon=True).start()
                self._is_running = True

    def _run(self) -> None:
        while touches := self._next():
            try:
                write(touches)
            except Exception as error:  # noqa: BLE001 - the next lookup of the keys tries again
                keys = plural(len(touches), "key")
                log.warning("the use of %s was not written: %s", keys, error)

    def _next(self) -> list[Touch]:
        """Returns the touches to write. An empty list ends the thread."""
        time.sleep(PAUSE_SECONDS)
        with self._lock:
            touches, self._waiting = list(self._waiting.values()), {}
            self._is_running = bool(touches)
        return touches


def write(touches: list[Touch]) -> None:
    fetch(WRITE, [orjson.dumps([touch._asdict() for touch in touches]).decode()])


writer = TouchWriter()
