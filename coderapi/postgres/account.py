"""Chooses the operating-system account that runs PostgreSQL, which cannot run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# If root owns the data directory, the first of these accounts that exists runs PostgreSQL.
STAND_INS = ("coderapi", "postgres", "nobody")

# The environment of PostgreSQL's programs. The caller's PG* variables are not passed to them.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}


class PostgresError(Exception):
    """PostgreSQL, one of its programs or the data directory cannot be used.

    The message has the cause and the remedy.
    """


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int

    @property
    def is_another(self) -> bool:
        return self.uid != os.geteuid()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        text: str = "",
        keep_open: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs the command as this account, with `text` as its input. Returns its output as text.

        The command has its own session, so signals to this process group do not reach it. It
        inherits `keep_open`, the file descriptor of a lock. So the lock is held until the command
        ends, even if this process is killed.
        """
        other: Any = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(  # noqa: S603 - commands are lists of our own making, without a shell
            [str(part) for part in command],
            check=False,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",
            umask=0o077,
            env=ENVIRONMENT | (environment or {}),
            start_new_session=True,
            pass_fds=() if keep_open is None else (keep_open,),
            **(other if self.is_another else {}),
        )

    def may_execute(self, path: Path) -> bool:
        """Returns whether the account can run the program, or enter the directory."""
        if self.is_another:
            # The mode bits do not show access control lists, so the account itself has to try.
            return self.run(["test", "-x", path]).returncode == 0
        return os.access(path, os.X_OK)

    def own(self, path: Path) -> None:
        """Makes the account the owner of a new file or directory."""
        if self.is_another:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(data_dir: Path) -> Account:
    """Returns the account that runs PostgreSQL.

    For ordinary users, it is the current user's account. For root, it is the owner of the cluster,
    or of the data directory if the cluster does not exist. If root owns that directory, it is one
    of STAND_INS.

    Raises: PostgresError if the caller is not root and the cluster belongs to another user; or if
    root needs one of STAND_INS and none exists.
    """
    me = os.geteuid()
    home = data_dir / "postgres"
    if me == 0:
        owner = (home if home.exists() else data_dir).stat().st_uid
        return _account(owner) if owner else _stand_in()
    if home.exists() and home.stat().st_uid != me:
        owner_name = _named(home.stat().st_uid)
        raise PostgresError(
            f"{home} belongs to {owner_name}. Run this as {owner_name}, or set CODERAPI_DATA_DIR "
            "to your own directory."
        )
    return Account(_named(me), me, os.getegid())


def _stand_in() -> Account:
    for name in STAND_INS:
        with suppress(KeyError):
            return _account(pwd.getpwnam(name).pw_uid)
    raise PostgresError(
        "PostgreSQL refuses to run as root, and this machine lacks the accounts "
        f"{', '.join(STAND_INS)}. Create one, or run this as an ordinary user."
    )


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise PostgresError(
            f"The data directory belongs to the user ID {uid}, which does not exist on this "
            "machine. Change the owner of the directory (chown -R)."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _named(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
