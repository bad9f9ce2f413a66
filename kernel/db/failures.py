"""Remembers why the database fails, for the log, the responses, /readyz and the admin.

The processes of a server share the newest cause, because a process sees only its own failures.
"""

from __future__ import annotations

import logging
import mmap
import struct
import time

from kernel.db.connections import first_line, is_commit_unknown, sqlstate

FULL = "The disk of the database is full, so nothing can be stored."
READ_ONLY = "The database is read-only, so nothing can be stored."
UNCONFIRMED = "The database does not confirm commits. Is its synchronous standby available?"
NO_CONNECTION = (
    "PostgreSQL has no free connection. Increase max_connections, or decrease "
    "CODER_PG_CONN_MAX_OPEN."
)
CAUSES = ("", FULL, READ_ONLY, UNCONFIRMED, NO_CONNECTION)
_OF_CODE = {"53100": FULL, "25006": READ_ONLY, "53300": NO_CONNECTION}
# Parts of messages. libpq provides no code for a failed connection.
_OF_MESSAGE = {
    "No space left on device": FULL,
    "too many clients": NO_CONNECTION,
    "too many connections": NO_CONNECTION,
    "connection slots are reserved": NO_CONNECTION,
}
# A failure counts for this long, because successful writes are not observed.
KEPT_SECONDS = 30.0
# The monotonic time of the newest failure, and the number of its cause.
_FORMAT = "=dq"

log = logging.getLogger(__name__)

# The children of a server inherit this memory.
_shared = mmap.mmap(-1, mmap.PAGESIZE)


def cause_of(error: BaseException) -> str:
    """Returns why the database cannot serve a request, or "" if the error does not show it."""
    if is_commit_unknown(error):
        return UNCONFIRMED
    message = str(error)
    found = (cause for text, cause in _OF_MESSAGE.items() if text in message)
    return _OF_CODE.get(sqlstate(error) or "") or next(found, "")


def note_failure(error: BaseException) -> None:
    """Records and logs the cause of a failure if it is known."""
    if cause := cause_of(error):
        log.error("%s PostgreSQL: %s", cause, first_line(error))
        struct.pack_into(_FORMAT, _shared, 0, time.monotonic(), CAUSES.index(cause))


def prevents_only_writes(error: BaseException) -> bool:
    """Returns whether the database still reads: it is read-only, or its disk is full."""
    return cause_of(error) in {FULL, READ_ONLY}


def recent_cause() -> str:
    """Returns the cause of the newest failure, or "" if it was long ago."""
    at, number = struct.unpack_from(_FORMAT, _shared)
    return CAUSES[number] if time.monotonic() < at + KEPT_SECONDS else ""


def forget() -> None:
    """Forgets the newest failure."""
    struct.pack_into(_FORMAT, _shared, 0, float("-inf"), 0)


forget()
