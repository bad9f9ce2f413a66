"""Faults of an import: an interrupt, and a lost database."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from bench.faults.clients import Load, report_body
from bench.faults.clusters import Cluster
from bench.faults.ledger import REPORT
from bench.faults.rounds import RECOVERY_SECONDS, Fault, Round, keep
from bench.faults.service import unclear
from bench.faults.stages import Single
from bench.service import launched

LINES = 30_000
IMPORT_SECONDS = 120
STOP_SECONDS = 60
# The import has this number of lines when it is disturbed.
MIN_IMPORTED = 1_000
IMPORTED = "SELECT count(*) FROM csp_report WHERE line_number BETWEEN %s AND %s"


class DisturbedImport(Fault[Single]):
    """Disturbs an import of reports, and then runs it again."""

    stage, rounds = Single, 2

    def disturb(self, command: subprocess.Popen[bytes], cluster: Cluster) -> None:
        raise NotImplementedError

    def mend(self, cluster: Cluster) -> None:
        """Repairs what the disturbance broke."""

    def play(self, stage: Single, found: Round, chance: random.Random) -> None:
        file, marks = _reports(stage.directory)
        output = stage.directory / "output"
        output.unlink(missing_ok=True)
        command = ["manage.py", "import_csp_reports", str(file)]
        with Load(stage.service) as load:
            first = launched(command, stage.service.environment, output)
            _wait_until_imported(stage, marks, first)
            time.sleep(chance.random() / 2)
            self.disturb(first, stage.cluster)
            status = _end_of(first, STOP_SECONDS)
            self.mend(stage.cluster)
            load.repaired()
            found.away = load.seconds_away(at_most=RECOVERY_SECONDS)
            found.problems += unclear(output.read_text(encoding="utf-8"), status)
            if _end_of(launched(command, stage.service.environment, output), IMPORT_SECONDS):
                found.problems.append(f"does not continue: {output.read_text()[-300:]}")
        keep(load, found)
        found.sent.note(REPORT, marks, 200, maybe_written=False)


def _reports(directory: Path) -> tuple[Path, list[str]]:
    """Returns a file of reports, and their marks."""
    file = directory / f"reports-{time.monotonic_ns()}.jsonl"
    marked = [report_body() for _ in range(LINES)]
    file.write_text("".join(json.dumps(report) + "\n" for _, report in marked), encoding="utf-8")
    return file, [mark for mark, _ in marked]


def _wait_until_imported(stage: Single, marks: list[str], command: subprocess.Popen[bytes]) -> None:
    with stage.look() as connection:
        while command.poll() is None:
            row = connection.execute(IMPORTED, [int(marks[0]), int(marks[-1])]).fetchone()
            if row and row[0] >= MIN_IMPORTED:
                return
            time.sleep(0.02)


def _end_of(command: subprocess.Popen[bytes], seconds: float) -> int:
    """Returns the exit status. Kills the command if it does not end in time."""
    try:
        return command.wait(seconds)
    except subprocess.TimeoutExpired:
        command.kill()
        return command.wait()


class InterruptedImport(DisturbedImport):
    """Ctrl-C in an import of 30,000 reports, which then continues."""

    name = "import-interrupted"

    def disturb(self, command: subprocess.Popen[bytes], cluster: Cluster) -> None:
        if command.poll() is None:
            os.kill(command.pid, signal.SIGINT)


class ImportWithoutDatabase(DisturbedImport):
    """kill -9 of the postmaster during an import, which then continues."""

    name = "import-loses-database"

    def disturb(self, command: subprocess.Popen[bytes], cluster: Cluster) -> None:
        cluster.kill()

    def mend(self, cluster: Cluster) -> None:
        cluster.start()


FAULTS = (InterruptedImport(), ImportWithoutDatabase())
