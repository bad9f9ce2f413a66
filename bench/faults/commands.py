"""Faults of commands: an interrupt, a lost database, and a database that does not answer."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from psycopg import sql

from bench.faults.clients import Load, report_body
from bench.faults.clusters import Cluster
from bench.faults.ledger import REPORT, table_of
from bench.faults.rounds import CALM_SECONDS, RECOVERY_SECONDS, Fault, Round, keep
from bench.faults.service import Service, unclear
from bench.faults.stages import Single
from bench.service import PROJECT, free_port, launched

LINES = 30_000
IMPORT_SECONDS = 120
COMMAND_SECONDS = 60
# The import has this number of lines when it is disturbed.
MIN_IMPORTED = 1_000
COMMANDS = (
    ("run_job", "collect_deployment_stats"),
    ("list_csp_groups",),
    ("list_tokens",),
    ("create_token", "--user", "owner"),
)


class Command:
    """One command with the environment of a service, and its output."""

    def __init__(
        self,
        service: Service,
        output: Path,
        *arguments: str,
        program: Path = PROJECT / "manage.py",
        **more: str,
    ) -> None:
        self._output = output
        output.unlink(missing_ok=True)
        environment = {**service.environment, **more}
        self.process = launched([str(program), *arguments], environment, output)

    def wait(self, seconds: float) -> int | None:
        """Returns the exit status, or None if the command had to be killed."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")


class DisturbedImport(Fault[Single]):
    """Disturbs an import of reports, and then runs it again."""

    stage, rounds = Single, 2

    def disturb(self, command: Command, cluster: Cluster) -> None:
        raise NotImplementedError

    def mend(self, cluster: Cluster) -> None:
        """Repairs what the disturbance broke."""

    def play(self, stage: Single, found: Round, chance: random.Random) -> None:
        file, marks = _reports(stage.directory)
        arguments = ("import_csp_reports", str(file))
        with Load(stage.service) as load:
            first = Command(stage.service, stage.directory / "output", *arguments)
            _wait_until_imported(stage, marks, first)
            time.sleep(chance.random() / 2)
            self.disturb(first, stage.cluster)
            status = first.wait(COMMAND_SECONDS)
            self.mend(stage.cluster)
            load.repaired()
            found.away = load.seconds_away(at_most=RECOVERY_SECONDS)
            found.problems += unclear(first.output, status)
            again = Command(stage.service, stage.directory / "output", *arguments)
            if again.wait(IMPORT_SECONDS) != 0:
                found.problems.append(f"does not continue: {again.output[-300:]}")
        keep(load, found)
        found.sent.note(REPORT, marks, 200, maybe_written=False)


def _reports(directory: Path) -> tuple[Path, list[str]]:
    """Returns a file of reports, and their marks."""
    file = directory / f"reports-{time.monotonic_ns()}.jsonl"
    marked = [report_body() for _ in range(LINES)]
    file.write_text("".join(json.dumps(report) + "\n" for _, report in marked), encoding="utf-8")
    return file, [mark for mark, _ in marked]


def _wait_until_imported(stage: Single, marks: list[str], command: Command) -> None:
    with stage.look() as connection:
        query = sql.SQL("SELECT count(*) FROM {} WHERE line_number BETWEEN %s AND %s").format(
            table_of(REPORT, connection)
        )
        while command.process.poll() is None:
            row = connection.execute(query, [int(marks[0]), int(marks[-1])]).fetchone()
            if row and row[0] >= MIN_IMPORTED:
                return
            time.sleep(0.02)


class InterruptedImport(DisturbedImport):
    """Ctrl-C in an import of 30,000 reports, which then continues."""

    name = "import-interrupted"

    def disturb(self, command: Command, cluster: Cluster) -> None:
        if command.process.poll() is None:
            os.kill(command.process.pid, signal.SIGINT)


class ImportWithoutDatabase(DisturbedImport):
    """kill -9 of the postmaster during an import, which then continues."""

    name = "import-loses-database"

    def disturb(self, command: Command, cluster: Cluster) -> None:
        cluster.kill()

    def mend(self, cluster: Cluster) -> None:
        cluster.start()


class CommandsWithoutDatabase(Fault[Single]):
    """Commands whose database does not answer."""

    name, stage, rounds = "commands-without-database", Single, 1

    def play(self, stage: Single, found: Round, chance: random.Random) -> None:
        nowhere = stage.cluster.url(f"127.0.0.1:{free_port()}")
        with Load(stage.service) as load:
            time.sleep(CALM_SECONDS)
            for arguments in COMMANDS:
                output = stage.directory / "output"
                command = Command(stage.service, output, *arguments, DATABASE_URL=nowhere)
                status = command.wait(COMMAND_SECONDS)
                problems = unclear(command.output, status)
                found.problems += [f"{arguments[0]}: {text}" for text in problems]
            load.repaired()
            found.away = load.seconds_away(at_most=RECOVERY_SECONDS)
        keep(load, found)


FAULTS = (InterruptedImport(), ImportWithoutDatabase(), CommandsWithoutDatabase())
