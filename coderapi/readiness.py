"""Finds out whether this process can serve requests, for /readyz and the admin's home page.

| `status` | HTTP | meaning |
| --- | --- | --- |
| `ok` | 200 | all requests are served |
| `degraded` | 200 | cached documents are served; `reason` states why other requests get a 503 |
| `unready` | 503 | nothing useful is served, or the server is stopping |

A proxy stops sending requests to a server whose /readyz fails. If all servers failed because of
the same database, clients would get errors of the proxy instead of documents. So a server that
cannot reach its database is `degraded` while it may use its caches (`kernel.db.listener`), and
becomes `unready` afterwards.

A thread of each web worker looks once a second. So a response comes from memory, and does not wait
for a frozen database. If the thread hangs, the server is `unready`. Other processes look at each
request, at most once a second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error, connection

from coderapi import postgres
from coderapi.database.migrating import is_migrated
from coderapi.startup.bootstrap import private_database
from jobs.selectors import jobs_state
from kernel.db import listener
from kernel.db.connections import (
    connect_as_requests_do,
    deadline,
    has_answered_lately,
    is_busy,
)
from kernel.db.failures import NO_CONNECTION, READ_ONLY, note_failure, recent_cause
from kernel.db.replicas import misfit, replicas
from kernel.db.schema_number import stored_schema
from kernel.http.steps import counters
from kernel.loops import repeat
from kernel.memory import CachedValue, Memory
from stats.selectors import snapshot_state

# The time limit for the queries of a look.
PROBE_SECONDS = 1.2
LOOK_SECONDS = 1.0
CHECKS_SECONDS = 5.0
OK, DEGRADED, UNREADY = "ok", "degraded", "unready"
# A look takes up to six seconds.
STALE_SECONDS = 15.0
STALE = {
    "status": UNREADY,
    "database": "unreachable",
    "reason": f"This process has not looked at its database for {STALE_SECONDS:.0f} seconds.",
}
STOPPING = {"status": UNREADY, "reason": "The server is stopping."}
# The states of the migrations with which this release serves.
USABLE = {"ok", "newer"}
BUSY = "Too many requests are waiting for the database."

# The newest states, by name.
_states: Memory[str, dict[str, Any]] = Memory("readiness", capacity=2)
_logged_status = OK
_is_looking = False

log = logging.getLogger(__name__)


def start() -> None:
    """Looks regularly in a thread of its own, and waits for the first look.

    The main thread does not look, because it would keep a connection outside the pool.
    """
    global _is_looking
    looked = Event()

    def look() -> None:
        try:
            _load_database()
            _load_checks()
        except Exception:
            log.exception("Looking at the database failed")
        looked.set()

    options: dict[str, Any] = {"every": LOOK_SECONDS, "stop": Event()}
    Thread(target=repeat, args=(look,), kwargs=options, name="readiness", daemon=True).start()
    looked.wait()
    _is_looking = True


def readiness() -> dict[str, Any]:
    """Returns the state of the database, the migrations, the snapshot and the jobs.

    Shape: {"status": "ok"|"degraded"|"unready", "database": "ok"|"busy"|"unwritable"|"unreachable",
    "reason"?: why requests are not served, "migrations"?: "ok"|"pending"|"newer"|"too new",
    "checks"?: the states of the snapshot, of the jobs, and of the servers together,
    "redis"?: "ok"|"unreachable"}.
    """
    state = dict(_newest("database", _load_database) or STALE)
    if state.get("migrations") in USABLE and (checks := _newest("checks", _load_checks)):
        state["checks"] = checks
    if settings.REDIS_URL:
        state["redis"] = "unreachable" if counters.FAILURES.count else "ok"
    return state


def _read_database() -> dict[str, Any]:
    try:
        with deadline(PROBE_SECONDS), connection.cursor() as cursor:
            migrations, refusal = _read_migrations(cursor)
            cursor.execute("SELECT current_setting('transaction_read_only')::boolean")
            reason = READ_ONLY if cursor.fetchone()[0] else recent_cause()
    except Error as error:
        return _noted(_without_database(error))
    found = _failing(reason) if reason else {"status": OK, "database": "ok"}
    if migrations not in USABLE:
        found["status"] = UNREADY
    if refusal:
        found["reason"] = refusal
    return _noted({**found, "migrations": migrations})


def _read_migrations(cursor: Any) -> tuple[str, str]:
    """Returns the state of the migrations, and why this release cannot use the schema, or ""."""
    if not is_migrated(cursor):
        return "pending", ""
    stored = stored_schema(cursor)
    if not stored or not stored.is_newer:
        return "ok", ""
    return "too new" if stored.refusal else "newer", stored.refusal


def _failing(reason: str) -> dict[str, Any]:
    is_busy = reason in {BUSY, NO_CONNECTION}
    database = "busy" if is_busy else "unwritable"
    return {"status": DEGRADED, "database": database, "reason": reason}


def _without_database(error: Error) -> dict[str, Any]:
    if is_busy(error) and has_answered_lately():
        try:
            # The pool's error does not contain the cause.
            connect_as_requests_do().close()
        except psycopg.Error as cause:
            note_failure(cause)
        return _failing(recent_cause() or BUSY)
    away = postgres.why_unavailable(settings.DATA_DIR) if private_database else ""
    reason = away or f"The database does not respond ({type(error).__name__})."
    status = DEGRADED if listener.is_fresh() else UNREADY
    return {"status": status, "database": "unreachable", "reason": reason}


def _noted(state: dict[str, Any]) -> dict[str, Any]:
    """Logs the state if it has changed."""
    global _logged_status
    before, _logged_status = _logged_status, state["status"]
    if _logged_status != before:
        reason = state.get("reason", "")
        level = logging.INFO if _logged_status == OK else logging.WARNING
        log.log(level, "Readiness: %s. %s", _logged_status, reason)
    return state


def _read_checks() -> dict[str, Any]:
    """Returns the results of the checks, or {} if they cannot be read in time."""
    try:
        with deadline(PROBE_SECONDS):
            reason = misfit(replicas())
            servers = {"state": "warning", "reason": reason} if reason else {"state": "ok"}
            return {"snapshot": snapshot_state(), "jobs": jobs_state(), "servers": servers}
    except Error:
        return {}


def _newest(name: str, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the newest state. Loads it unless a thread of this process looks regularly.

    Then returns {} for a state that is too old.
    """
    return (_states.latest(name, max_age=STALE_SECONDS) or {}) if _is_looking else load()


def _load_database() -> dict[str, Any]:
    return _states.load("database", lambda: CachedValue(_read_database(), max_age=LOOK_SECONDS))


def _load_checks() -> dict[str, Any]:
    return _states.load("checks", lambda: CachedValue(_read_checks(), max_age=CHECKS_SECONDS))
