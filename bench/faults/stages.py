"""The environments of faults: a cluster behind a proxy, a primary with a standby, a small disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psycopg

from bench.faults.clusters import Cluster, living
from bench.faults.proxy import Proxy
from bench.faults.service import Service
from bench.load import BenchError
from bench.service import START_SECONDS, free_port, status_of
from coderapi import postgres

DISK = "700m"
BLOCK = bytes(1 << 20)


class UnfitError(Exception):
    """Raised if the stage cannot be set up on this machine."""


class Stage:
    """A running service, and access to its database."""

    service: Service
    directory: Path
    # The duration of the first start shows how busy the machine is.
    start_seconds = 0.0

    def __init__(self) -> None:
        self._ends = contextlib.ExitStack()

    def open(self) -> None:
        """Sets the stage up. Call `close` even after an error. Raises: UnfitError, BenchError."""
        self.directory = Path(tempfile.mkdtemp(prefix="coderapi-faults-"))
        self._ends.callback(shutil.rmtree, self.directory, ignore_errors=True)
        # PostgreSQL's own account must be able to enter the directory.
        self.directory.chmod(0o711)
        self.service = self.set_up()
        self._ends.callback(self.service.kill_all)
        begun = time.monotonic()
        self.service.start_and_wait()
        self.start_seconds = round(time.monotonic() - begun, 1)

    def set_up(self) -> Service:
        """Makes everything that the service needs. Returns the service before its start."""
        raise NotImplementedError

    def look(self) -> psycopg.Connection[Any]:
        """Opens a connection to the current database without a proxy."""
        raise NotImplementedError

    def renew(self) -> None:
        """Prepares the next round."""

    def restart_by_hand(self) -> None:
        """Restarts the service as an operator does."""
        self.service.kill_all()
        self.service.start_and_wait()

    def close(self) -> None:
        self._ends.close()

    def new_cluster(self, name: str) -> Cluster:
        """Returns a cluster that is not created yet. It ends with the stage."""
        cluster = Cluster(self.directory, name)
        self._ends.callback(cluster.stop)
        return cluster

    def new_proxy(self, cluster: Cluster) -> Proxy:
        proxy = Proxy(cluster.port)
        self._ends.callback(proxy.end)
        return proxy


class Single(Stage):
    """One cluster behind a proxy."""

    def set_up(self) -> Service:
        self.cluster = self.new_cluster("primary")
        self.cluster.make()
        self.proxy = self.new_proxy(self.cluster)
        return Service(self.directory, database_url=self.cluster.url(self.proxy.address))

    def look(self) -> psycopg.Connection[Any]:
        return self.cluster.connect()


class Activated(Single):
    """One service whose listening socket belongs to systemd, and outlives the service."""

    def set_up(self) -> Service:
        service = super().set_up()
        service.listen()
        return service


class Balanced(Single):
    """Two servers of one database behind HAProxy, which reads /readyz ten times a second.

    The second server gets requests only while the first one is not ready.
    """

    CONFIGURATION = """
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout check 5s
    option redispatch
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    option httpchk GET /readyz
    default-server check inter 100ms fall 1 rise 1
    server first 127.0.0.1:{first}
    server second 127.0.0.1:{second} backup
"""

    def open(self) -> None:
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise UnfitError("HAProxy is not installed")
        super().open()
        (self.directory / "second").mkdir(mode=0o711)
        url = self.cluster.url(self.proxy.address)
        second = Service(self.directory / "second", database_url=url)
        self._ends.callback(second.kill_all)
        second.start()
        second.wait_until_ready()
        self._balance(program, second)

    def _balance(self, program: str, second: Service) -> None:
        port, file = free_port(), self.directory / "haproxy.cfg"
        text = self.CONFIGURATION.format(port=port, first=self.service.port, second=second.port)
        file.write_text(text, encoding="utf-8")
        balancer = subprocess.Popen([program, "-f", str(file)])  # noqa: S603 - the machine's own
        self._ends.callback(balancer.communicate)
        self._ends.callback(balancer.kill)
        deadline = time.monotonic() + START_SECONDS
        while status_of(port, "/readyz") != HTTPStatus.OK:
            if time.monotonic() > deadline:
                raise BenchError("HAProxy does not start.")
            time.sleep(0.05)
        self.service.client_port = port

    def set_up(self) -> Service:
        service = super().set_up()
        service.environment["CODERAPI_SHUTDOWN_DELAY"] = "1s"
        return service


class TwoHosts(Single):
    """Two servers of one database that run the same jobs. Only the first one has clients.

    The second one has a proxy of its own, and a name in `pg_stat_activity`.
    """

    SECOND = "second"

    def set_up(self) -> Service:
        service = super().set_up()
        service.environment["CODER_AGENT_STATS_REFRESH_INTERVAL"] = "1s"
        self.second_proxy = self.new_proxy(self.cluster)
        url = f"{self.cluster.url(self.second_proxy.address)}?application_name={self.SECOND}"
        (self.directory / self.SECOND).mkdir(mode=0o711)
        self.second = Service(self.directory / self.SECOND, database_url=url)
        self.second.environment = {**service.environment, **self.second.environment}
        self._ends.callback(self.second.kill_all)
        return service

    def renew(self) -> None:
        self.second.kill_all()
        self.second_proxy.forward_to(self.cluster.port)
        self.second.start()
        self.second.wait_until_ready()


class Pair(Stage):
    """A primary and a synchronous standby, each behind a proxy, with one URL for both."""

    def set_up(self) -> Service:
        self.primary, self.standby = self.new_cluster("first"), self.new_cluster("second")
        self.primary.make()
        self.standby.become_standby_of(self.primary)
        self.proxies = {c.home: self.new_proxy(c) for c in (self.primary, self.standby)}
        hosts = ",".join(proxy.address for proxy in self.proxies.values())
        url = f"{self.primary.url(hosts)}?target_session_attrs=read-write"
        return Service(self.directory, database_url=url)

    def look(self) -> psycopg.Connection[Any]:
        return self.primary.connect()

    def promote(self) -> None:
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def renew(self) -> None:
        """Makes the old primary the standby of the promoted one."""
        with self.primary.connect() as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
        if row and row[0]:
            return
        self.standby.become_standby_of(self.primary)
        self.proxies[self.standby.home].forward_to(self.standby.port)


class SmallDisk(Stage):
    """The private PostgreSQL, in a data directory on a small disk."""

    def set_up(self) -> Service:
        self.data_dir = self.directory / "disk"
        self.data_dir.mkdir(mode=0o711)
        self._mount()
        self._ends.callback(self._end_postgresql)
        self._ends.callback(self.empty)
        return Service(self.directory, database_url="", data_dir=self.data_dir)

    def _mount(self) -> None:
        if os.geteuid() != 0:
            raise UnfitError("a small disk is a mounted tmpfs, which only root may mount")
        options = f"size={DISK},mode=711"
        command = ["mount", "-t", "tmpfs", "-o", options, "coderapi-faults", str(self.data_dir)]
        done = subprocess.run(  # noqa: S603 - the machine's own program
            command, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise UnfitError(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        self._ends.callback(subprocess.run, ["umount", "--lazy", str(self.data_dir)], check=False)

    def _end_postgresql(self) -> None:
        with contextlib.suppress(postgres.PostgresError):
            postgres.stop(self.data_dir)

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
        """Returns the process id of the private PostgreSQL, or None without one."""
        return living(self.data_dir / "postgres/data/postmaster.pid")

    def look(self) -> psycopg.Connection[Any]:
        url, listens = postgres.address(self.data_dir)
        if not listens:
            raise OSError(errno.ECONNREFUSED, "the private PostgreSQL does not run")
        return psycopg.connect(url, autocommit=True)
