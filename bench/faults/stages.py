"""What faults need below them: a cluster behind a proxy, a pair, or a small disk of its own."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from bench.faults.clusters import Cluster
from bench.faults.proxy import Proxy
from bench.faults.service import Service
from kernel import postgres

DISK = "700m"
BLOCK = bytes(1 << 20)


class UnfitError(Exception):
    """The stage cannot be set up here; the message says what is missing."""


class Stage:
    """A service that runs, and how to look past it into its database."""

    service: Service

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="coderapi-faults-"))
        # PostgreSQL's own account must be able to enter.
        self.directory.chmod(0o711)

    def look(self) -> psycopg.Connection[Any]:
        """Opens a connection past the proxies, to whichever database is the true one now."""
        raise NotImplementedError

    def renew(self) -> None:
        """Prepares the next round, if the last one has used something up."""

    def restart_by_hand(self) -> None:
        """Does what an operator would do."""
        self.service.kill_all()
        self.service.start_and_wait()

    def close(self) -> None:
        self.service.kill_all()
        shutil.rmtree(self.directory, ignore_errors=True)


class Single(Stage):
    """One cluster behind a proxy."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(self.directory, "primary")
        self.cluster.make()
        self.proxy = Proxy(self.cluster.port)
        self.service = Service(self.directory, database_url=self.cluster.url(self.proxy.address))
        self.service.start_and_wait()

    def look(self) -> psycopg.Connection[Any]:
        return self.cluster.connect()

    def close(self) -> None:
        self.service.kill_all()
        self.proxy.end()
        self.cluster.stop()
        super().close()


class Pair(Stage):
    """A primary and a standby that has every commit; each behind a proxy, one URL for both."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = Cluster(self.directory, "first")
        self.standby = Cluster(self.directory, "second")
        self.primary.make()
        self.standby.become_standby_of(self.primary)
        self.proxies = {cluster.home: Proxy(cluster.port) for cluster in self._both()}
        hosts = ",".join(proxy.address for proxy in self.proxies.values())
        url = f"{self.primary.url(hosts)}?target_session_attrs=read-write"
        self.service = Service(self.directory, database_url=url)
        self.service.start_and_wait()

    def _both(self) -> tuple[Cluster, Cluster]:
        return self.primary, self.standby

    def look(self) -> psycopg.Connection[Any]:
        return self.primary.connect()

    def promote(self) -> None:
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def renew(self) -> None:
        """Gives the primary a new standby, in the place of the one that it was promoted over."""
        with self.primary.connect() as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
        if row and row[0]:
            return
        self.standby.become_standby_of(self.primary)
        self.proxies[self.standby.home].lead_to(self.standby.port)

    def close(self) -> None:
        self.service.kill_all()
        for cluster in self._both():
            self.proxies[cluster.home].end()
            cluster.stop()
        super().close()


class SmallDisk(Stage):
    """The private PostgreSQL, in a data directory on a small disk of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.data_dir = self.directory / "disk"
        self.data_dir.mkdir(mode=0o711)
        self._mount()
        self.service = Service(self.directory, database_url="", data_dir=self.data_dir)
        self.service.start_and_wait()

    def _mount(self) -> None:
        if os.geteuid() != 0:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise UnfitError("a small disk is a mounted tmpfs, which only root may mount")
        options = f"size={DISK},mode=711"
        command = ["mount", "-t", "tmpfs", "-o", options, "coderapi-faults", str(self.data_dir)]
        done = subprocess.run(  # noqa: S603 - the machine's own program
            command, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise UnfitError(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")

    @property
    def ballast(self) -> Path:
        return self.data_dir / "ballast"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self.ballast.open("ab", buffering=0) as stream:
            while stream.write(BLOCK):
                pass

    def empty(self) -> None:
        self.ballast.unlink(missing_ok=True)

    @property
    def postmaster(self) -> int | None:
        """Returns the private PostgreSQL's process id, or None without one."""
        try:
            text = (self.data_dir / "postgres/data/postmaster.pid").read_text()
            pid = int(text.split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def look(self) -> psycopg.Connection[Any]:
        url, listens = postgres.address(self.data_dir)
        if not listens:
            raise OSError(errno.ECONNREFUSED, "the private PostgreSQL does not run")
        return psycopg.connect(url, autocommit=True)

    def close(self) -> None:
        self.empty()
        self.service.kill_all()
        with contextlib.suppress(postgres.PostgresError):
            postgres.stop(self.data_dir)
        subprocess.run(["umount", "--lazy", str(self.data_dir)], check=False)  # noqa: S603, S607
        super().close()
