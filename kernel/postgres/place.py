"""Where one data directory keeps its private cluster, and as whom that cluster runs."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from kernel.datadir import PASSABLE, DataDirectoryError, ensure
from kernel.postgres.account import Account, account_for
from kernel.postgres.errors import PostgresError
from kernel.postgres.links import unfollowed

ROLE = DATABASE = "coderapi"


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
        """The major version that the data belongs to, or None where there is no cluster yet."""
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


def prepared(data_dir: Path) -> Place:
    """The place under an existing or new data directory, which the cluster's account can enter.

    Raises: PostgresError.
    """
    try:
        root = ensure(data_dir).resolve()
    except DataDirectoryError as error:
        raise PostgresError(str(error)) from error
    account = account_for(root)
    if account.is_another:
        _let_through(root, account)
    return Place(root, account)


def _let_through(root: Path, account: Account) -> None:
    if account.can_enter(root):
        return
    status = root.stat()
    if status.st_uid == 0:
        root.chmod(status.st_mode & 0o7777 | PASSABLE)
    if not account.can_enter(root):
        raise PostgresError(
            f"PostgreSQL does not run as root, and the account {account.name}, which runs it "
            f"instead, cannot enter {_closed_parent(root, account)}. Set CODERAPI_DATA_DIR to a "
            "directory that it can reach, such as /var/lib/coderapi."
        )


def _closed_parent(root: Path, account: Account) -> Path:
    ways = [*reversed(root.parents), root]
    return next((way for way in ways if not account.can_enter(way)), root)


def url(cluster: Cluster, sockets: Path) -> str:
    """The cluster's address for psycopg and libpq: a socket, no port, the password included."""
    # The directory is a parameter: many URL readers fail over an encoded path as a host name.
    host = urlencode({"host": str(sockets)})
    return f"postgresql://{ROLE}:{quote(cluster.password, safe='')}@/{DATABASE}?{host}"


def client_environment(cluster: Cluster, sockets: Path) -> dict[str, str]:
    """What leads libpq's programs to the cluster; on a command line others could read it."""
    return {
        "PGHOST": str(sockets),
        "PGUSER": ROLE,
        "PGPASSWORD": cluster.password,
        "PGDATABASE": DATABASE,
    }
