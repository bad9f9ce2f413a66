"""The files of a private cluster: data, password and log in the data directory, and the socket.

A process that runs as root opens files in directories that PostgreSQL's account can write to. That
account could place symbolic links there, so the process never follows them.
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
    """Opens a file for `open(opener=...)`. Rejects symbolic links.

    A new file gets the mode 0600.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The directory of a cluster. It can be renamed or copied as a whole."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def stopped(self) -> Path:
        """A marker file next to the cluster's directory. `postgres stop` creates it."""
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
                f"The cluster's password file {file} cannot be read: {error}"
            ) from error

    @property
    def major(self) -> int | None:
        """The major version of the data, or None if the cluster does not exist."""
        try:
            return int((self.data / "PG_VERSION").read_text(encoding="ascii"))
        except FileNotFoundError:
            if self.home.exists():
                raise PostgresError(
                    f"{self.home} holds no complete PostgreSQL cluster (data/PG_VERSION is "
                    "missing). Restore it from a backup, or move it away to start with an empty "
                    "cluster."
                ) from None
            return None
        except ValueError:
            raise PostgresError(f"{self.data / 'PG_VERSION'} contains no version number.") from None
        except OSError as error:
            raise PostgresError(
                f"{self.data / 'PG_VERSION'} cannot be read: {error.strerror}."
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
        """An upgraded cluster that is complete, but has not replaced the old cluster yet."""
        return Cluster(self.data_dir / "postgres.upgraded")

    def draft(self) -> Cluster:
        """Creates an empty directory for a new cluster. It is renamed when the cluster is ready."""
        home = self.data_dir / f"postgres.new-{os.urandom(4).hex()}"
        home.mkdir(mode=0o700)
        self.account.own(home)
        return Cluster(home)

    def remove_drafts(self) -> None:
        for left in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(left, ignore_errors=True)


def prepared(data_dir: Path, *, make: bool = True) -> Place:
    """Returns the place of a data directory. Ensures that its account can enter the directory.

    If `make` is true, creates a missing directory. Raises: PostgresError.
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
            f"PostgreSQL cannot run as root, so the account {account.name} runs it. This account "
            f"cannot enter {_closed_parent(root, account)}. Set CODERAPI_DATA_DIR to a "
            "directory that the account can enter, such as /var/lib/coderapi."
        )


def _closed_parent(root: Path, account: Account) -> Path:
    ways = [*reversed(root.parents), root]
    return next((way for way in ways if not account.may_execute(way)), root)


def url(cluster: Cluster, sockets: Path) -> str:
    """Returns the URL of the cluster for psycopg and libpq, including the password."""
    # The socket's directory is a query parameter, because many parsers reject an encoded path as a
    # host name.
    host = urlencode({"host": str(sockets)})
    return f"postgresql://{ROLE}:{quote(cluster.password, safe='')}@/{DATABASE}?{host}"


def variables_of(url: str) -> dict[str, str]:
    """Returns libpq's environment variables for the URL, such as PGHOST and PGPASSWORD.

    Parameters without an environment variable are dropped. Such parameters only tune the
    connection, for example its keepalives.
    """
    # Imported here, because most starts do not need it.
    from psycopg import pq
    from psycopg.conninfo import conninfo_to_dict

    given = conninfo_to_dict(url)
    return {
        option.envvar.decode(): str(given[option.keyword.decode()])
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.keyword.decode() in given
    }


# --- The log ----------------------------------------------------------------------------------


def trim_log(log: Path, *, limit: int = MAX_LOG_BYTES, kept: int = KEPT_LOG_BYTES) -> None:
    """Truncates a log of more than `limit` bytes to its last `kept` bytes.

    PostgreSQL can rotate its log, but cannot limit its size. PostgreSQL opens the log for
    appending, so the next line follows the kept bytes.
    """
    with contextlib.suppress(OSError), open(log, "r+b", opener=unfollowed) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > limit:
            stream.seek(size - kept)
            tail = stream.read(kept)
            stream.seek(0)
            stream.truncate()
            stream.write(tail)


def last_log_lines(log: Path, *, count: int = 12) -> str:
    """Returns the newest lines of the log, or "" if the log does not exist."""
    try:
        with open(log, "rb", opener=unfollowed) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 16 * 1024))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])


# --- The socket -------------------------------------------------------------------------------


def sockets_directory(cluster: Cluster) -> Path:
    """Returns the directory for the socket of a new server.

    It is outside the data directory, because the path of that directory may be too long for a
    socket.
    """
    parent = next(
        (parent for parent in SOCKET_PARENTS if os.access(parent, os.W_OK)), SOCKET_PARENTS[-1]
    )
    return parent / cluster.sockets_name


def make_sockets_directory(place: Place, sockets: Path) -> None:
    """Creates the directory for the socket, or removes a dead server's socket from it.

    Raises: PostgresError if the directory belongs to another user. This is possible in /tmp, where
    every user can create directories.
    """
    try:
        sockets.mkdir(mode=0o700)
        place.account.own(sockets)
    except FileExistsError:
        _refuse_strangers(place, sockets)
    except OSError as error:
        raise PostgresError(f"{sockets} cannot be created: {error.strerror}.") from error
    _empty_sockets(sockets)


def remove_sockets_directory(place: Place, sockets: Path) -> None:
    """Removes the socket's directory of a stopped server if it is private to this service."""
    # If the directory cannot be removed, the next start uses it again.
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
            f"{sockets} is not a private directory of {place.account.name}. Another user may have "
            "created it to read the connections. Remove it and start again."
        )
    # Root may have been killed after it created the directory and before it changed the owner.
    place.account.own(sockets)


def _empty_sockets(sockets: Path) -> None:
    for name in (SOCKET, f"{SOCKET}.lock"):
        (sockets / name).unlink(missing_ok=True)
