"""The processes and databases that tests start, and waiting for them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connection

PROJECT = Path(__file__).resolve().parents[2]
# The packages of the product.
PACKAGES = {path.parent.name for path in PROJECT.glob("*/__init__.py")} - {"bench", "bin", "tests"}
# A wait ends by an event, so waiting is only bounded against a hang.
DEADLINE_SECONDS = 120.0
# Shorter than the minute after which keys are evicted without a notification.
BEFORE_EVICTION_SECONDS = 50.0
# Programs take longer to start on a busy machine. Their end is seen.
HANG_SECONDS = 240.0
POLL_SECONDS = 0.02
# pytest-randomly gives all workers the same seed, so `random` would draw the same ports in each.
CHANCE = random.SystemRandom()
# Workers beyond this number share ports.
MAX_WORKERS = 8
_given: set[int] = set()


def wait_for[T](condition: Callable[[], T], *, seconds: float = DEADLINE_SECONDS) -> T:
    """Waits until the condition returns something true, and returns it. Fails after `seconds`."""
    # Some tests change the monotonic clock.
    deadline = time.perf_counter() + seconds
    while not (value := condition()):
        assert time.perf_counter() < deadline, f"still not so after {seconds} s: {condition}"
        time.sleep(POLL_SECONDS)
    return value


def free_port() -> int:
    """Returns a free port that no other call returns, in this or in another worker of the run.

    The port is below 32768, because the system chooses its own ports above that number, and above
    10080, which browsers do not open.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = CHANCE.randrange(10_100 + worker % MAX_WORKERS, 32_000, MAX_WORKERS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def command_line(pid: int) -> str:
    """Returns the arguments of the process, or nothing after its end."""
    return _read(pid, "cmdline")


def environment(pid: int) -> str:
    return _read(pid, "environ")


def marked_with(mark: str) -> list[int]:
    """Returns the other processes that run and have the mark in their environment."""
    return [pid for pid in _others() if mark in environment(pid) and command_line(pid)]


def running_with(argument: str) -> list[int]:
    """Returns the other processes that run and have the text in their arguments."""
    return [pid for pid in _others() if argument in command_line(pid)]


def _others() -> list[int]:
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in numbers if pid != os.getpid()]


def _read(pid: int, name: str) -> str:
    try:
        return (
            Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def migrated() -> str:
    """Returns the name of a database with all tables, which no test changes.

    The session fixture `django_db_setup` makes it.
    """
    return f"{connection.settings_dict['NAME']}_migrated"


@contextmanager
def own_database(*, like: str = "", name: str = "") -> Iterator[str]:
    """Copies a database, by default the migrated one. Drops the copy at the end. Yields its URL."""
    server = os.environ["DATABASE_URL"]
    name = name or f"own_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as direct:
        # Copying the files takes a third of the time of copying through the log.
        direct.execute(f"CREATE DATABASE {name} TEMPLATE {like or migrated()} STRATEGY file_copy")
        try:
            yield in_database(server, name)
        finally:
            direct.execute(f"DROP DATABASE {name} WITH (FORCE)")


def end_sessions(application: str) -> None:
    """Ends the sessions of the test database that have this name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            [application],
        )


def connects(url: str) -> bool:
    """Returns whether the database accepts a connection."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def database_name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def in_database(url: str, name: str) -> str:
    """Returns the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


class Program:
    """A command in its own session. A mark in the environment finds its processes.

    They are killed at the end of the block if the program is used as a context manager.
    """

    entry: Sequence[str] = (sys.executable, str(PROJECT / "manage.py"))
    directory: Path | None = None

    def __init__(self, *arguments: str, log: Path, **environment: str) -> None:
        command = [*self.entry, *arguments]
        self._start(command, log=log, environment={**os.environ, **environment})

    def _start(self, command: Sequence[str], *, log: Path, environment: dict[str, str]) -> None:
        self.mark = f"TEST_MARK={uuid.uuid4().hex}"
        self.log = log
        name, _, value = self.mark.partition("=")
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**environment, name: value},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                # Only descriptors that are inheritable.
                close_fds=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    def all_processes(self) -> list[int]:
        return marked_with(self.mark)

    def logged(self, text: str) -> bool:
        """Returns whether the log has the text. Fails if the program ended without it."""
        if text in self.log.read_text():
            return True
        assert self.process.poll() is None, self.log.read_text()
        return False

    def wait_for_log(self, text: str) -> None:
        wait_for(lambda: self.logged(text), seconds=HANG_SECONDS)

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Sends the signal. Returns the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(DEADLINE_SECONDS)

    def kill_all(self) -> None:
        while pids := self.all_processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
        self.process.wait(DEADLINE_SECONDS)
