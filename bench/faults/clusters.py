"""PostgreSQL clusters on 127.0.0.1 that faults kill, freeze, copy and promote."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from bench.load import BenchError
from bench.service import free_port
from coderapi.postgres.files import prepared
from coderapi.postgres.sharing import fitting

ROLE = DATABASE = "coderapi"
MAX_CONNECTIONS = 60
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": str(MAX_CONNECTIONS),
    "wal_keep_size": "256MB",
    "log_min_error_statement": "panic",
}


class Cluster:
    """One PostgreSQL server with a database for the service, whose role is not a superuser."""

    def __init__(self, directory: Path, name: str) -> None:
        private = prepared(directory)
        self._account = private.account
        self._programs = fitting(private)
        self.home = directory / name
        self.port = free_port()
        self.password = secrets.token_hex(16)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, hosts: str = "", database: str = DATABASE) -> str:
        """Returns the service's URL, through other hosts if they are given."""
        return f"postgresql://{ROLE}:{self.password}@{hosts or self.address}/{database}"

    def connect(self, database: str = DATABASE) -> psycopg.Connection[Any]:
        """Opens a superuser's connection without a proxy."""
        return psycopg.connect(
            f"postgresql://postgres:{self.password}@{self.address}/{database}",
            autocommit=True,
            connect_timeout=10,
        )

    def make(self) -> None:
        """Makes the cluster, starts it, and adds the role and the database."""
        self._make_home()
        file = self.home / "password"
        file.write_text(self.password, encoding="ascii")
        self._account.own(file)
        self._run(
            "initdb",
            f"--pgdata={self.data}",
            "--username=postgres",
            f"--pwfile={file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        )
        self.start()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.password}'")
        self.make_database(DATABASE)

    def make_database(self, name: str) -> None:
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {ROLE}")

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def pid(self) -> int | None:
        """Returns the postmaster's process id, or None without one."""
        return living(self.data / "postmaster.pid")

    def start(self) -> None:
        settings = {**SETTINGS, "port": str(self.port)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self._pg_ctl("start", f"--log={self.home / 'log'}", f"--options={options}")

    def stop(self, mode: str = "immediate") -> None:
        if self.pid:
            self.thaw()
            self._pg_ctl("stop", f"--mode={mode}")

    def kill(self) -> None:
        """Kills the postmaster, and waits until its children end."""
        pid, children = self.pid, self.processes()
        if pid:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_exists(child) for child in children) and time.monotonic() < deadline:
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Returns the postmaster and its children."""
        pid = self.pid
        return [pid, *children_of(pid)] if pid else []

    def freeze(self) -> None:
        for pid in self.processes():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)

    def become_standby_of(self, primary: Cluster) -> None:
        """Copies and follows the primary, whose commits then wait for this standby."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self._make_home()
        self.password = primary.password
        environment = {"PGPASSWORD": primary.password, "HOME": str(self.home)}
        self._run(
            "pg_basebackup",
            f"--pgdata={self.data}",
            f"--dbname=postgresql://postgres@{primary.address}/postgres",
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
            environment=environment,
        )
        with (self.data / "postgresql.auto.conf").open("a", encoding="utf-8") as stream:
            stream.write("synchronous_standby_names = ''\n")
        self.start()
        with primary.connect("postgres") as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            _wait_until_synchronous(connection)

    def promote(self) -> None:
        self._pg_ctl("promote")

    def _make_home(self) -> None:
        self.home.mkdir(mode=0o700)
        self._account.own(self.home)

    def _pg_ctl(self, action: str, *options: str) -> None:
        self._run("pg_ctl", action, f"--pgdata={self.data}", "--wait", "--silent", *options)

    def _run(self, name: str, *options: str, environment: dict[str, str] | None = None) -> None:
        program = self._programs.program(name)
        done = self._account.run([program, *options], environment=environment)
        if done.returncode != 0:
            raise BenchError(f"{name} {options[0]}: {(done.stderr or done.stdout).strip()}")


def living(file: Path) -> int | None:
    """Returns the process that a postmaster.pid names, or None if it is gone."""
    try:
        pid = int(file.read_text(encoding="utf-8").split("\n", 1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid


def children_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(number) for number in text.split()]


def _wait_until_synchronous(connection: psycopg.Connection[Any]) -> None:
    deadline = time.monotonic() + 20
    query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
    while (row := connection.execute(query).fetchone()) and not row[0]:
        if time.monotonic() > deadline:
            raise BenchError("The standby does not follow its primary.")
        time.sleep(0.1)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
