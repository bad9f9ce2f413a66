"""The server's log file, which PostgreSQL itself can rotate but not limit."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kernel.postgres.links import unfollowed

MOST_BYTES = 8 * 1024 * 1024
KEPT_BYTES = 1024 * 1024


def trim(log: Path, *, most: int = MOST_BYTES, kept: int = KEPT_BYTES) -> None:
    """Cuts a log that has grown past `most` bytes down to its last `kept` bytes.

    The server opens it for appending, so its next line follows what is left.
    """
    with contextlib.suppress(OSError), open(log, "r+b", opener=unfollowed) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > most:
            stream.seek(size - kept)
            tail = stream.read(kept)
            stream.seek(0)
            stream.truncate()
            stream.write(tail)


def last_lines(log: Path, *, count: int = 12) -> str:
    """The newest lines, for an error message; empty where there is no log."""
    try:
        with open(log, "rb", opener=unfollowed) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 16 * 1024))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
