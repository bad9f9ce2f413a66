"""Faults of the start: two migrations at once, a kill during a migration, a wrong environment."""

from __future__ import annotations

import itertools
import random
import socket
import time
from contextlib import closing, suppress

import psycopg

from bench.faults.clients import Load
from bench.faults.rounds import CALM_SECONDS, RECOVERY_SECONDS, Fault, Round, keep
from bench.faults.service import Service, crash_causes, crashes, unclear
from bench.faults.stages import Single

_numbers = itertools.count(1)
REFUSAL_SECONDS = 30
NOT_UTF_8 = b"\xff\xfe\x80 no text \xc3\x28" * 8


class Started(Fault[Single]):
    """Starts services without load on an empty database, until they are ready."""

    stage = Single
    # A first start makes every table, which takes longer than a recovery.
    max_away = RECOVERY_SECONDS

    def play(self, stage: Single, found: Round, chance: random.Random) -> None:
        number = next(_numbers)
        stage.cluster.make_database(f"fresh{number}")
        url = stage.cluster.url(database=f"fresh{number}")
        directories = [stage.directory / f"fresh{number}{letter}" for letter in "ab"]
        for directory in directories:
            directory.mkdir()
        services = [Service(directory, database_url=url) for directory in directories]
        try:
            self.start(services, stage, f"fresh{number}", chance)
            self._wait(services, found)
        finally:
            for service in services:
                service.kill_all()
                note_crashes(service, found)
            with stage.cluster.connect("postgres") as connection:
                connection.execute(f"DROP DATABASE fresh{number} WITH (FORCE)")

    def start(
        self, services: list[Service], stage: Single, database: str, chance: random.Random
    ) -> None:
        raise NotImplementedError

    def _wait(self, services: list[Service], found: Round) -> None:
        """Measures when all started services are ready."""
        begun = time.monotonic()
        waiting = [service for service in services if service.alive]
        while waiting and time.monotonic() < begun + RECOVERY_SECONDS:
            waiting = [service for service in waiting if not service.is_ready()]
            time.sleep(0.05)
        if waiting:
            found.problems.append(f"not ready:\n{waiting[0].log_tail()}")
        else:
            found.away = time.monotonic() - begun


class TwoMigrations(Started):
    """Two servers start at once on an empty database."""

    name, rounds = "two-migrations", 3

    def start(
        self, services: list[Service], stage: Single, database: str, chance: random.Random
    ) -> None:
        for service in services:
            service.start()


class KillInMigration(Started):
    """kill -9 of a server after a random number of migrations."""

    name, rounds = "kill-in-migration", 4

    def start(
        self, services: list[Service], stage: Single, database: str, chance: random.Random
    ) -> None:
        service = services[0]
        service.start()
        wanted, deadline = chance.randrange(1, 30), time.monotonic() + 60
        with stage.cluster.connect(database) as connection:
            while _migrations(connection) < wanted and time.monotonic() < deadline:
                time.sleep(0.01)
        service.kill_all()
        service.start()


def _migrations(connection: psycopg.Connection[tuple[int]]) -> int:
    with suppress(psycopg.errors.UndefinedTable):
        row = connection.execute("SELECT count(*) FROM django_migrations").fetchone()
        return row[0] if row else 0
    return 0


class Refused(Fault[Single]):
    """A start that must fail with one error message, beside a service that keeps running."""

    stage, rounds, seconds = Single, 1, 0.0
    # A part of the error message.
    names = ""

    def play(self, stage: Single, found: Round, chance: random.Random) -> None:
        directory = stage.directory / f"refused{next(_numbers)}"
        directory.mkdir()
        second = Service(directory, database_url=stage.cluster.url())
        with Load(stage.service) as load:
            time.sleep(CALM_SECONDS)
            with closing(self.spoil(second)):
                second.start()
                status = second.wait(REFUSAL_SECONDS)
            load.repaired()
            found.away = load.seconds_away(at_most=RECOVERY_SECONDS)
        keep(load, found)
        found.problems += unclear(second.logged_since(0), status, naming=self.names)

    def spoil(self, second: Service) -> socket.socket:
        """Makes the start impossible, until the returned socket is closed at the latest."""
        raise NotImplementedError


def _taken(port: int) -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


class PortInUse(Refused):
    """The port is in use by another program."""

    name, names = "port-in-use", "another program listens"

    def spoil(self, second: Service) -> socket.socket:
        return _taken(second.port)


class MetricsPortInUse(Refused):
    """The port of the metrics is in use by another program."""

    name, names = "metrics-port-in-use", "CODER_PROMETHEUS_ADDRESS"

    def spoil(self, second: Service) -> socket.socket:
        return _taken(second.metrics_port)


class UnreadableKey(Refused):
    """A secret key file that is not UTF-8."""

    name, names = "secret-key-no-utf8", "CODERAPI_SECRET_KEY"

    def spoil(self, second: Service) -> socket.socket:
        file = second.data_dir.parent / "secret_key"
        file.write_bytes(NOT_UTF_8)
        del second.environment["CODERAPI_SECRET_KEY"]
        second.environment["CODERAPI_SECRET_KEY_FILE"] = str(file)
        return socket.socket()


class UnreadablePrivateKey(Refused):
    """A secret key beside the private PostgreSQL that is not UTF-8."""

    name, names = "private-secret-key-no-utf8", "secret_key"

    def spoil(self, second: Service) -> socket.socket:
        second.data_dir.mkdir(mode=0o711)
        (second.data_dir / "secret_key").write_bytes(NOT_UTF_8)
        for name in ("CODERAPI_SECRET_KEY", "DATABASE_URL"):
            del second.environment[name]
        return socket.socket()


class DataDirectoryIsFile(Refused):
    """A data directory that is a file."""

    name, names = "data-directory-is-a-file", "CODERAPI_DATA_DIR"

    def spoil(self, second: Service) -> socket.socket:
        second.data_dir.write_text("", encoding="ascii")
        del second.environment["DATABASE_URL"]
        return socket.socket()


def note_crashes(service: Service, found: Round) -> None:
    if not service.log.exists():
        return
    log = service.logged_since(0)
    if count := crashes(log):
        found.problems.append(f"{count} tracebacks: {'; '.join(crash_causes(log))}")


FAULTS = (
    TwoMigrations(),
    KillInMigration(),
    PortInUse(),
    MetricsPortInUse(),
    UnreadableKey(),
    UnreadablePrivateKey(),
    DataDirectoryIsFile(),
)
