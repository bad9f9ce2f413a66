"""Remembers why this process cannot write, for the log, /readyz and the admin."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from kernel.db.connections import first_line, is_commit_unknown, sqlstate

CAUSES = {
    "53100": "The disk of the database is full, so nothing can be stored.",
    "25006": "The database is read-only, so nothing can be stored.",
}
READ_ONLY = CAUSES["25006"]
UNCONFIRMED = "The database does not confirm commits. Is its synchronous standby available?"
# A failed write counts for this long, because successful writes are not observed.
KEPT_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Failure:
    cause: str = ""
    at: float = float("-inf")


_last = _Failure()


def note_failure(error: BaseException) -> None:
    """Records and logs the cause of a failed statement if nothing can be written."""
    cause = UNCONFIRMED if is_commit_unknown(error) else CAUSES.get(sqlstate(error) or "")
    if not cause:
        return
    log.error("%s PostgreSQL: %s", cause, first_line(error))
    _last.cause, _last.at = cause, time.monotonic()


def prevents_only_writes(error: BaseException) -> bool:
    """Returns whether the database still reads: it is read-only, or its disk is full."""
    return sqlstate(error) in CAUSES


def why_unwritable() -> str:
    """Returns why the last write of this process failed, or "" if that was long ago."""
    return _last.cause if time.monotonic() < _last.at + KEPT_SECONDS else ""


def forget() -> None:
    """Forgets the last failure."""
    _last.cause, _last.at = "", float("-inf")
