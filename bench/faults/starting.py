"""Faults of the start: two migrations at once, and a kill during a migration."""

from __future__ import annotations

import itertools
import random
import time
from contextlib import suppress

import psycopg

from bench.faults.rounds import RECOVERY_SECONDS, Fault, Round
from bench.faults.service import Service, crash_problems
from bench.faults.stages import Single

_numbers = itertools.count(1)


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
                found.problems += crash_problems(service.logged_since(0))
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


FAULTS = (TwoMigrations(), KillInMigration())
