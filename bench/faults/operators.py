"""Faults of an operator: a wrong backup, a migration, too few connections, and a slow check."""

from __future__ import annotations

import random
import time
from pathlib import Path

from bench.faults.clients import Load
from bench.faults.commands import COMMAND_SECONDS, Command
from bench.faults.rounds import Fault, Round
from bench.faults.service import Service, unclear
from bench.faults.stages import Balanced, Single
from bench.faults.starting import Started
from bench.faults.stopping import FAILURES, count
from bench.next_release import NAME, UNDO, next_release
from bench.service import PROJECT

READER_SECONDS = 12.0
OWN = PROJECT / "manage.py"
UNLIMITED, FEW_CONNECTIONS = -1, 20
JOBS = "SELECT count(*) FROM jobs_jobrun WHERE finished_at > now() - interval '20 s'"


class WrongBackup(Fault[Single]):
    """A backup of another release is refused, and then the right backup goes in."""

    name, stage, rounds, seconds = "restore-other-release", Single, 1, 0.0
    _problems: list[str]

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        self._found = self._problems = []
        stage.cluster.make_database("restored")
        try:
            self._restore(stage)
        finally:
            with stage.cluster.connect("postgres") as connection:
                connection.execute("DROP DATABASE restored WITH (FORCE)")

    def _restore(self, stage: Single) -> None:
        right, wrong = (str(stage.directory / name) for name in ("right", "wrong"))
        other = next_release(stage.directory)
        self._succeed(stage, "migrate")
        self._succeed(stage, "backup", right)
        self._succeed(stage, "migrate", program=other)
        self._succeed(stage, "backup", wrong, program=other)
        self._succeed(stage, "restore", "--yes", right)
        refused = self._command(stage, "restore", "--yes", wrong)
        status = refused.wait(COMMAND_SECONDS)
        self._problems += unclear(refused.output, status, naming=f"tokens.{NAME}")
        self._succeed(stage, "migrate", "--check")

    def _succeed(self, stage: Single, *arguments: str, program: Path = OWN) -> None:
        command = self._command(stage, *arguments, program=program)
        if command.wait(COMMAND_SECONDS) != 0:
            self._problems.append(f"{' '.join(arguments)}: {command.output[-300:]}")

    def _command(self, stage: Single, *arguments: str, program: Path = OWN) -> Command:
        output, url = stage.directory / "output", stage.cluster.url(database="restored")
        return Command(stage.service, output, *arguments, program=program, DATABASE_URL=url)


class MigrationBehindReader(Fault[Single]):
    """A migration needs the lock of a table that a dump reads for twelve seconds."""

    name, stage, rounds, seconds = "migrate-behind-reader", Single, 2, 0.0

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        program, output = next_release(stage.directory), stage.directory / "output"
        with stage.look() as connection:
            connection.execute(UNDO)
        with stage.look() as reader:
            reader.execute("BEGIN; SELECT count(*) FROM tokens_apikey")
            command = Command(stage.service, output, "migrate", program=program)
            time.sleep(READER_SECONDS)
            reader.execute("COMMIT")
        status = command.wait(COMMAND_SECONDS)
        self._found = [command.output[-300:]] if status else []
        if "A migration waits for a table" not in command.output:
            self._found.append("the migration did not wait")

    def problems(self, stage: Single, found: Round) -> list[str]:
        failed = count(found, FAILURES)
        return [*self._found, *([f"{failed} requests failed"] if failed else [])]


class FewConnections(Fault[Single]):
    """PostgreSQL allows 20 connections instead of 27. Jobs must run, and the log must name it."""

    name, stage, rounds, seconds = "few-connections", Single, 1, 20.0
    reason = r"needs up to \d+ connections to PostgreSQL, but can have only 20 "

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        self._limit(stage, FEW_CONNECTIONS)
        stage.service.end()
        stage.service.start_and_wait()

    def repair(self, stage: Single) -> None:
        with stage.look() as connection:
            row = connection.execute(JOBS).fetchone()
        self._found = [] if row and row[0] else ["no job ran"]
        self._limit(stage, UNLIMITED)
        stage.service.end()
        stage.service.start_and_wait()

    def _limit(self, stage: Single, number: int) -> None:
        with stage.look() as connection:
            connection.execute(f"ALTER ROLE coderapi CONNECTION LIMIT {number}")


class FrozenBehindProxy(Fault[Balanced]):
    """SIGSTOP of PostgreSQL for 12 s, behind HAProxy whose check of /readyz ends after 1 s."""

    name, stage, rounds, seconds = "frozen-behind-proxy", Balanced, 2, 12.0

    def break_(self, stage: Balanced, chance: random.Random, load: Load) -> None:
        stage.cluster.freeze()

    def repair(self, stage: Balanced) -> None:
        stage.cluster.thaw()

    def problems(self, stage: Balanced, found: Round) -> list[str]:
        lost = sum(
            number
            for status, number in found.statuses.items()
            if status.startswith("document ") and not status.endswith(" 200")
        )
        slow = found.slowest.get("readyz", 0.0)
        return [
            *([f"{lost} documents were refused"] if lost else []),
            *([f"/readyz took {slow} s"] if slow > 1.0 else []),
        ]


class StartWithoutConnection(Started):
    """A server starts while another program has every connection of PostgreSQL."""

    name, rounds = "start-without-connection", 1

    def start(
        self, services: list[Service], stage: Single, database: str, chance: random.Random
    ) -> None:
        with stage.cluster.connect("postgres") as connection:
            connection.execute("ALTER ROLE coderapi CONNECTION LIMIT 0")
            services[0].start()
            while "Waiting for the database" not in services[0].logged_since(0):
                if not services[0].alive:
                    return
                time.sleep(0.1)
            connection.execute("ALTER ROLE coderapi CONNECTION LIMIT -1")


FAULTS = (WrongBackup(), MigrationBehindReader(), FewConnections(), StartWithoutConnection())
BEHIND_PROXY = (FrozenBehindProxy(),)
