"""Shares a cluster among processes: the first process starts it, and the last one stops it.

There are two lock files. They are locked with `flock`, so the kernel releases a lock when its
process ends. A process holds a shared lock on `postgres.holders` while it uses the cluster. It
holds `postgres.lock` while it starts, joins, releases or stops the cluster.

If the last process is killed, PostgreSQL keeps running. The next process that acquires the
cluster joins it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coderapi.postgres import cluster as life
from coderapi.postgres.account import PostgresError, account_for
from coderapi.postgres.binaries import (
    Binaries,
    chosen,
    found,
    remove_other_copies,
    within_reach,
)
from coderapi.postgres.datadir import give_to_owner
from coderapi.postgres.files import (
    Cluster,
    prepared,
    trim_log,
    unfollowed,
    url,
)
from kernel.release import PROGRAM

# The process that holds the lock may need two steps: to wait until an old server has ended, and to
# start a new server.
LOCK_SECONDS = 2 * life.TIMEOUT_SECONDS

HOLDERS = "postgres.holders"

Health = Literal["running", "revived", "stopped"]


@dataclass(eq=False, repr=False, slots=True)
class Handle:
    """This process's use of a private cluster. The cluster runs at least until `release`."""

    url: str
    programs: Binaries
    _cluster: Cluster
    _holders: int
    _process: int = field(default_factory=os.getpid)
    _released: bool = False

    def revive(self) -> Health:
        """Restarts the server if it has ended, and trims its log. Returns the server's state.

        Does not restart it after `stop` or `release`. Raises: PostgresError if it does not start.
        """
        cluster = self._cluster
        with _transition(cluster):
            trim_log(cluster.log)
            if life.running(cluster):
                return "running"
            if self._released or cluster.stopped.exists():
                return "stopped"
            life.start(cluster, binaries=self.programs)
            return "revived"

    def release(self) -> None:
        """Releases the cluster, and stops it if no other process uses it.

        Further calls do nothing. Raises: PostgresError if the server does not stop.
        """
        if self._released or self._process != os.getpid():
            # A forked child shares the file descriptor of the lock, and must not release its
            # parent's lock.
            return
        self._released = True
        with _transition(self._cluster):
            _leave(self._cluster, self._holders, binaries=self.programs)


def acquire(
    data_dir: Path,
    *,
    make: bool = True,
    durable: bool = True,
    programs: Binaries | None = None,
) -> Handle:
    """Joins the cluster in the data directory, and starts it if it is not running.

    If `make` is true, creates a missing cluster. If `programs` are given, only these are used. With
    `durable=False` the cluster is faster, but a power failure may destroy its data. Raises:
    PostgresError.
    """
    cluster = (prepared if make else inhabited)(data_dir, durable=durable)
    with _transition(cluster) as lock:
        cluster.clear_away()
        cluster.stopped.unlink(missing_ok=True)
        binaries = fitting(cluster, programs)
        if life.running(cluster) is None:
            remove_other_copies(binaries, data_dir=cluster.home.parent)
        holders = _open(cluster.home.with_name(HOLDERS))
        fcntl.flock(holders, fcntl.LOCK_SH)
        try:
            if cluster.major is None:
                with cluster.draft() as draft:
                    life.create(draft, binaries=binaries, lock=lock)
                    draft.home.rename(cluster.home)
            life.start(cluster, binaries=binaries)
            return Handle(url(cluster), binaries, cluster, holders)
        except BaseException:
            _leave(cluster, holders, binaries=binaries)
            raise


def stop(data_dir: Path) -> bool:
    """Stops the cluster until the next `acquire`, even if processes are using it.

    Returns whether it was running. Raises: PostgresError if it does not stop.
    """
    cluster = inhabited(data_dir)
    with _transition(cluster):
        was_running = life.stop(cluster, binaries=fitting(cluster))
        cluster.stopped.touch()
    return was_running


def why_unavailable(data_dir: Path) -> str:
    """Returns the reason why the server is not running, or "" if the reason is unknown."""
    cluster = Cluster(data_dir / "postgres", account_for(data_dir))
    if cluster.stopped.exists():
        return f"It was stopped by `{PROGRAM} postgres stop`."
    return life.room_problem(cluster)


def address(data_dir: Path) -> tuple[str, bool]:
    """Returns the cluster's URL, and whether its server is ready. Does not start the server.

    Raises: PostgresError if the cluster does not exist.
    """
    cluster = inhabited(data_dir)
    server = life.running(cluster)
    return url(cluster), server is not None and server.ready


def inhabited(data_dir: Path, *, durable: bool = True) -> Cluster:
    """Returns the cluster of the data directory. Raises: PostgresError if it does not exist."""
    cluster = prepared(data_dir, make=False, durable=durable)
    if cluster.major is None:
        raise PostgresError(
            f"There is no private PostgreSQL under {cluster.home.parent} yet: `{PROGRAM} server` "
            f"or `{PROGRAM} migrate` makes one. If it is elsewhere, set CODERAPI_DATA_DIR, or "
            "DATABASE_URL for your own database."
        )
    return cluster


def fitting(cluster: Cluster, programs: Binaries | None = None) -> Binaries:
    """Returns programs that fit the cluster's version and that its account can run.

    Without `programs`, chooses among the installed ones. Raises: PostgresError if none fits.
    """
    home = cluster.home
    binaries = chosen([programs] if programs else found(), major=cluster.major, home=home)
    return within_reach(binaries, account=cluster.account, data_dir=home.parent)


def _leave(cluster: Cluster, holders: int, *, binaries: Binaries) -> None:
    try:
        # This exclusive lock is available only if no other process uses the cluster. No process can
        # join now, because the caller holds `postgres.lock`.
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        life.stop(cluster, binaries=binaries)
    finally:
        os.close(holders)


@contextmanager
def _transition(cluster: Cluster) -> Iterator[int]:
    try:
        lock = _open(cluster.home.with_name("postgres.lock"))
        try:
            _wait_for(lock, cluster)
            yield lock
        finally:
            os.close(lock)
    except OSError as error:
        # For example the disk is full, or another program has changed the files.
        raise PostgresError(
            f"The private PostgreSQL under {cluster.home.parent}: {error}."
        ) from error


def _wait_for(lock: int, cluster: Cluster) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise PostgresError(
                    f"Another process has been starting or stopping {cluster.home} for "
                    f"{LOCK_SECONDS} seconds. Find it, and end it if it hangs."
                ) from None
        time.sleep(life.POLL_SECONDS)


def _open(path: Path) -> int:
    """Opens a lock file. Programs that this process starts do not inherit the file descriptor."""
    try:
        descriptor = unfollowed(str(path), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise PostgresError(f"{path} cannot be opened: {error.strerror}.") from error
    give_to_owner(path.parent, descriptor)
    return descriptor
