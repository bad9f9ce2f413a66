"""The files of a private cluster in the data directory: data, password, log and socket.

A process that runs as root opens files in directories that PostgreSQL's account can write to. That
account could place symbolic links there, so the process never follows them.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from coderapi.postgres.account import Account, PostgresError, account_for
from coderapi.postgres.datadir import PASSABLE, ensure, existing

ROLE = DATABASE = "coderapi"
# The name for the default port, which is never opened.
SOCKET = ".s.PGSQL.5432"
# The longest path of a socket on Linux. On macOS, it is 103 bytes.
MAX_SOCKET_BYTES = 107 if sys.platform == "linux" else 103

MAX_LOG_BYTES = 8 * 1024 * 1024
KEPT_LOG_BYTES = 1024 * 1024


def unfollowed(path: str, flags: int) -> int:
    """Opens a file for `open(opener=...)`. Rejects symbolic links.

    A new file gets the mode 0600.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The directory of a cluster, and the account that runs its server.

    The directory can be renamed or copied as a whole. Its parent is the data directory. With
    `durable=False`, the server is faster, but a power failure may destroy the data.
    """

    home: Path
    account: Account
    durable: bool = True

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
        file = self.data / "PG_VERSION"
        try:
            return int(file.read_text(encoding="ascii"))
        except FileNotFoundError:
            if not self.home.exists():
                return None
            raise PostgresError(
                f"{self.home} holds no complete PostgreSQL cluster (data/PG_VERSION is missing). "
                "Restore it from a backup, or move it away to start with an empty cluster."
            ) from None
        except ValueError:
            raise PostgresError(f"{file} contains no version number.") from None
        except OSError as error:
            raise PostgresError(f"{file} cannot be read: {error.strerror}.") from error

    @contextmanager
    def draft(self) -> Iterator[Cluster]:
        """Yields an empty directory for a new cluster. The block renames it when it is ready.

        Removes the directory if the block fails.
        """
        home = self.home.with_name(f"postgres.new-{os.urandom(4).hex()}")
        home.mkdir(mode=0o700)
        self.account.own(home)
        try:
            yield replace(self, home=home)
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def clear_away(self) -> None:
        """Removes the directories that killed processes have left incomplete."""
        for left in self.home.parent.glob("postgres.new-*"):
            shutil.rmtree(left, ignore_errors=True)


def prepared(data_dir: Path, *, make: bool = True, durable: bool = True) -> Cluster:
    """Returns the cluster of a data directory. Ensures that its account can enter the directory.

    If `make` is true, creates a missing directory. Raises: PostgresError.
    """
    root = (ensure if make else existing)(data_dir).resolve()
    account = account_for(root)
    if account.is_another:
        _let_through(root, account)
    cluster = Cluster(root / "postgres", account, durable)
    spare = MAX_SOCKET_BYTES - len(os.fsencode(cluster.home / SOCKET))
    # libpq reads a comma as the end of a host name.
    if spare < 0 or "," in str(root):
        raise PostgresError(
            f"PostgreSQL's socket cannot be in {root}: the path has a comma, or more than "
            f"{MAX_SOCKET_BYTES - len(f'/postgres/{SOCKET}')} bytes. Set CODERAPI_DATA_DIR to "
            "another directory."
        )
    return cluster


def _let_through(root: Path, account: Account) -> None:
    if account.may_execute(root):
        return
    status = root.stat()
    if status.st_uid == 0:
        root.chmod(status.st_mode & 0o7777 | PASSABLE)
    if not account.may_execute(root):
        ways = [*reversed(root.parents), root]
        closed = next((way for way in ways if not account.may_execute(way)), root)
        raise PostgresError(
            f"PostgreSQL cannot run as root, so the account {account.name} runs it. This account "
            f"cannot enter {closed}. Set CODERAPI_DATA_DIR to a "
            "directory that the account can enter, such as /var/lib/coderapi."
        )


def url(cluster: Cluster) -> str:
    """Returns the URL of the cluster for psycopg and libpq, including the password."""
    login = f"{ROLE}:{quote(cluster.password, safe='')}"
    # The socket's directory is a query parameter, because many parsers reject an encoded path as a
    # host name.
    return f"postgresql://{login}@/{DATABASE}?host={quote(str(cluster.home), safe='')}"


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
    with suppress(OSError), open(log, "r+b", opener=unfollowed) as stream:
        size = stream.seek(0, os.SEEK_END)
        if size > limit:
            stream.seek(size - kept)
            tail = stream.read(kept)
            stream.seek(0)
            stream.truncate()
            stream.write(tail)


def last_log_lines(log: Path) -> str:
    """Returns the newest lines of the log, or "" if the log does not exist."""
    try:
        with open(log, "rb", opener=unfollowed) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 16 * 1024))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-12:])
