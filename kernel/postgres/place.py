"""The files of a data directory's private cluster: data, password, log, and the socket elsewhere.

Root opens files in directories of PostgreSQL's account, and follows no link out of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from kernel.datadir import PASSABLE, DataDirectoryError, ensure, existing
from kernel.postgres.account import Account, PostgresError, account_for

ROLE = DATABASE = "coderapi"

MAX_LOG_BYTES = 8 * 1024 * 1024
KEPT_LOG_BYTES = 1024 * 1024

SOCKET = ".s.PGSQL.5432"
SOCKET_PARENTS = (Path("/run"), Path("/tmp"))  # noqa: S108 - short by rule, and the owner is checked


def unfollowed(path: str, flags: int) -> int:
    """Opens a file for `open(opener=…)`: no symbolic link, and private if the file is made."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@dataclass(frozen=True, slots=True)
class Cluster:
    """One complete cluster in one directory, so that a rename or a copy takes all of it."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def stopped(self) -> Path:
        """The mark of a server that was stopped on purpose, beside the cluster."""
        return self.home.with_name("postgres.stopped")

    @property
    def sockets_name(self) -> str:
        return "coderapi-" + hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]

    @property
    def password(self) -> str:
        file = self.home / "password"
        try:
            with open(file, encoding="ascii", opener=unfollowed) as stream:
                return stream.read().strip()
        except (OSError, ValueError) as error:
            raise PostgresError(
                f"{file} is not readable, and without it nobody can sign in to the cluster: {error}"
            ) from error

    @property
    def major(self) -> int | None:
        """The major version that the data belongs to, or None without a cluster."""
        try:
            return int((self.data / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            if self.home.exists():
                raise PostgresError(
                    f"{self.home} holds no complete PostgreSQL cluster (data/PG_VERSION is "
                    "missing): restore it from a backup, or move it away to begin an empty one."
                ) from None
            return None
        except ValueError:
            raise PostgresError(f"{self.data / 'PG_VERSION'} holds no version number.") from None
        except OSError as error:
            raise PostgresError(
                f"{self.data / 'PG_VERSION'} is not readable: {error.strerror}."
            ) from error


@dataclass(frozen=True, slots=True)
class Place:
    data_dir: Path
    account: Account

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.data_dir / "postgres")

    @property
    def upgraded(self) -> Cluster:
        """A finished upgrade that has not taken the cluster's place yet."""
        return Cluster(self.data_dir / "postgres.upgraded")

    def draft(self) -> Cluster:
        """An empty directory to build a cluster in, which is renamed once it is complete."""
        home = self.data_dir / f"postgres.new-{os.urandom(4).hex()}"
        home.mkdir(mode=0o700)
        self.account.own(home)
        return Cluster(home)

    def remove_drafts(self) -> None:
        for left in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(left, ignore_errors=True)


def prepared(data_dir: Path, *, make: bool = True) -> Place:
    """Returns the place under a data directory, which its account can enter.

    With `make` the directory is made if need be. Raises: PostgresError.
    """
    try:
        root = (ensure if make else existing)(data_dir).resolve()
    except DataDirectoryError as error:
        raise PostgresError(str(error)) from error
    account = account_for(root)
    if account.is_another:
        _let_through(root, account)
    return Place(root, account)


def _let_through(root: Path, account: Account) -> None:
    if account.may_execute(root):
        return
    status = root.stat()
    if status.st_uid == 0:
        root.chmod(status.st_mode & 0o7777 | PASSABLE)
    if not account.may_execute(root):
        raise PostgresError(
            f"PostgreSQL does not run as root, and the account {account.name}, which runs it "
            f"instead, cannot enter {_closed_parent(root, account)}. Set CODERAPI_DATA_DIR to a "
            "directory that it can reach, such as /var/lib/coderapi."
        )


def _closed_parent(root: Path, account: Account) -> Path:
    ways = [*reversed(root.parents), root]
    return next((way for way in ways if not account.may_execute(way)), root)


def url(cluster: Cluster, sockets: Path) -> str:
    """Returns the cluster's address for psycopg and libpq: a socket, with the password."""
    # The directory is a parameter: many URL readers fail over an encoded path as a host name.
    host = urlencode({"host": str(sockets)})
    return f"postgresql://{ROLE}:{quote(cluster.password, safe='')}@/{DATABASE}?{host}"


def client_environment(cluster: Cluster, sockets: Path) -> dict[str, str]:
    """Returns the variables that lead libpq's programs to the cluster.

    On a command line others could read the password.
    """
    return {
        "PGHOST": str(sockets),
        "PGUSER": ROLE,
        "PGPASSWORD": cluster.password,
        "PGDATABASE": DATABASE,
    }


# --- The log ----------------------------------------------------------------------------------


def trim_log(log: Path, *, most: int = MAX_LOG_BYTES, kept: int = KEPT_LOG_BYTES) -> None:
    """Cuts a log that has grown past `most` bytes down to its last `kept` bytes.

    PostgreSQL itself can rotate its log, but not limit it. It opens the file for appending, so its
    next line follows what is left.
    """
    with contextlib.suppress(OSError), open(log, "r+b", opener=unfollowed) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > most:
            stream.seek(size - kept)
            tail = stream.read(kept)
            stream.seek(0)
            stream.truncate()
            stream.write(tail)


def last_log_lines(log: Path, *, count: int = 12) -> str:
    """Returns the newest lines, for an error message; "" without a log."""
    try:
        with open(log, "rb", opener=unfollowed) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 16 * 1024))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])


# --- The socket -------------------------------------------------------------------------------


def sockets_directory(cluster: Cluster) -> Path:
    """Returns the directory where a server that starts now has its socket.

    It is short, and not under the data directory, whose path may be too long for a socket.
    """
    parent = next(
        (parent for parent in SOCKET_PARENTS if os.access(parent, os.W_OK)), SOCKET_PARENTS[-1]
    )
    return parent / cluster.sockets_name


def make_sockets_directory(place: Place, sockets: Path) -> None:
    """Makes the directory, or empties the one that a dead server left.

    Raises: PostgresError when somebody else made it, which in /tmp anybody can.
    """
    try:
        sockets.mkdir(mode=0o700)
        place.account.own(sockets)
    except FileExistsError:
        _refuse_strangers(place, sockets)
    except OSError as error:
        raise PostgresError(f"{sockets} cannot be made: {error.strerror}.") from error
    _empty_sockets(sockets)


def remove_sockets_directory(place: Place, sockets: Path) -> None:
    """Removes what a stopped server leaves; harmless where there is nothing of ours."""
    # What cannot be removed is left for the next start, which uses it again.
    with contextlib.suppress(OSError):
        if _is_private(place, sockets):
            _empty_sockets(sockets)
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


def _empty_sockets(sockets: Path) -> None:
    for name in (SOCKET, f"{SOCKET}.lock"):
        (sockets / name).unlink(missing_ok=True)
