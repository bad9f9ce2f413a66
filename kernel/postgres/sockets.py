"""The directory of the cluster's socket: short, private, and not under the data directory.

A socket's path may have 107 bytes; a data directory's may have more.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from kernel.postgres.errors import PostgresError
from kernel.postgres.place import Cluster, Place

SOCKET = ".s.PGSQL.5432"
LONGEST_PATH = 107
PARENTS = (Path("/run"), Path("/tmp"))  # noqa: S108 - short by rule, and the owner is checked


def directory(cluster: Cluster) -> Path:
    """Where a server started now has its socket."""
    parent = next((parent for parent in PARENTS if os.access(parent, os.W_OK)), PARENTS[-1])
    return parent / cluster.sockets_name


def make(place: Place, sockets: Path) -> None:
    """Makes the directory, or empties the one that a dead server left.

    Raises: PostgresError when somebody else made it, which in /tmp anybody can.
    """
    check_length(sockets)
    try:
        sockets.mkdir(mode=0o700)
        place.account.own(sockets)
    except FileExistsError:
        _refuse_strangers(place, sockets)
    except OSError as error:
        raise PostgresError(f"{sockets} cannot be made: {error.strerror}.") from error
    _empty(sockets)


def check_length(sockets: Path) -> None:
    length = len(os.fsencode(sockets / SOCKET))
    if length > LONGEST_PATH:
        raise PostgresError(
            f"The socket's path {sockets / SOCKET} has {length} bytes; {LONGEST_PATH} is the most."
        )


def remove(place: Place, sockets: Path) -> None:
    """Removes what a stopped server leaves; harmless where there is nothing of ours."""
    # What cannot be removed is left for the next start, which uses it again.
    with contextlib.suppress(OSError):
        if _is_private(place, sockets):
            _empty(sockets)
            sockets.rmdir()


def _is_private(place: Place, sockets: Path) -> bool:
    status = sockets.lstat()
    ours = status.st_uid in {place.account.uid, os.geteuid()}
    return stat.S_ISDIR(status.st_mode) and ours and not stat.S_IMODE(status.st_mode) & 0o077


def _refuse_strangers(place: Place, sockets: Path) -> None:
    if not _is_private(place, sockets):
        raise PostgresError(
            f"{sockets} is not a private directory of {place.account.name}; somebody else may have "
            "made it to listen in. Remove it and start again."
        )
    # A start that was killed between making the directory and giving it away.
    place.account.own(sockets)


def _empty(sockets: Path) -> None:
    for name in (SOCKET, f"{SOCKET}.lock"):
        (sockets / name).unlink(missing_ok=True)
