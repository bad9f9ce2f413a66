"""The operating-system account that runs PostgreSQL, which refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Tried in this order when root owns the data directory.
STAND_INS = ("coderapi", "postgres", "nobody")

# Without the caller's variables for libpq and PostgreSQL.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}


class PostgresError(Exception):
    """PostgreSQL or one of its programs fails. The message says what, where, and what to do."""


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
        """Runs the command as this account, with the text as input. Returns its output as text.

        The command has its own session, so signals to this process group do not reach it. It
        inherits the descriptor `keep_open`: the lock is held even if this process is killed.
        """
        identity: dict[str, Any] = {}
        if self.is_another:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
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
            **identity,
        )

    def may_execute(self, path: Path) -> bool:
        """Returns whether the account can run the program, or enter the directory."""
        if self.is_another:
            # Mode bits alone do not show access lists.
            return self.run(["test", "-x", path]).returncode == 0
        return os.access(path, os.X_OK)

    def own(self, path: Path) -> None:
        """Makes the account the owner of a new file or directory."""
        if self.is_another:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(data_dir: Path) -> Account:
    """Returns the account that runs PostgreSQL: this user, or for root the owner or a stand-in.

    Raises: PostgresError if the cluster belongs to another user, or no stand-in exists.
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
        try:
            return _account(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    raise PostgresError(
        "PostgreSQL refuses to run as root, and this machine lacks the accounts "
        f"{', '.join(STAND_INS)}. Create one, or run this as an ordinary user."
    )


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise PostgresError(
            f"The data directory belongs to user number {uid}, who is unknown on this machine. "
            "Give it to a user that exists (chown -R)."
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _named(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
