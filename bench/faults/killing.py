"""kill -9 of each process of the service and of PostgreSQL."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

from bench.faults.clients import Load
from bench.faults.rounds import Fault
from bench.faults.service import JOBS, METRICS, SUPERVISOR, WEB
from bench.faults.stages import Single, SmallDisk, Stage


class KillProcess(Fault[Stage]):
    """Kills one process of the service. Its supervisor starts another."""

    stage: type[Stage] = Single
    process = ""

    def break_(self, stage: Stage, chance: random.Random, load: Load) -> None:
        stage.service.kill_one(self.process)


class KillWebWorker(KillProcess):
    """kill -9 of a web worker."""

    name, process, rounds = "kill-web-worker", WEB, 5


class KillJobs(KillProcess):
    """kill -9 of the jobs worker."""

    name, process, rounds = "kill-jobs", JOBS, 4


class KillMetrics(KillProcess):
    """kill -9 of the process that serves the metrics."""

    name, process, rounds = "kill-metrics", METRICS, 2


class KillSupervisor(KillProcess):
    """kill -9 of the supervisor, which the init system starts again."""

    name, process, rounds = "kill-supervisor", SUPERVISOR, 4
    seconds = 0.1

    def repair(self, stage: Stage) -> None:
        stage.service.start()


class KillSupervisorOfPrivate(KillSupervisor):
    """kill -9 of the supervisor; the next start adopts its private PostgreSQL."""

    name, stage, rounds = "kill-supervisor-private", SmallDisk, 2


class KillBackends(Fault[Single]):
    """kill -9 of a connection's backend, after which PostgreSQL ends all backends."""

    name, stage, rounds = "kill-backend", Single, 4

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        with stage.look() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'coderapi' ORDER BY pid"
            ).fetchall()
        pids = [int(row[0]) for row in rows]
        with suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)


class TerminateBackends(Fault[Stage]):
    """pg_terminate_backend of every connection, four times."""

    name, stage, rounds = "terminate-backends", Single, 4

    def break_(self, stage: Stage, chance: random.Random, load: Load) -> None:
        with stage.look() as connection:
            for _ in range(4):
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE usename = 'coderapi' AND pid <> pg_backend_pid()"
                )
                time.sleep(chance.random() / 4)


class KillPostmaster(Fault[Single]):
    """kill -9 of the postmaster, which starts again after a second."""

    name, stage, rounds, seconds = "kill-postmaster", Single, 4, 1.0

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        stage.cluster.kill()

    def repair(self, stage: Single) -> None:
        stage.cluster.start()


class KillPrivatePostmaster(Fault[SmallDisk]):
    """kill -9 of the private postmaster, which the service starts again."""

    name, stage, rounds, seconds = "kill-private-postmaster", SmallDisk, 4, 0.0

    def break_(self, stage: SmallDisk, chance: random.Random, load: Load) -> None:
        if pid := stage.postmaster:
            os.kill(pid, signal.SIGKILL)


FAULTS = (
    KillWebWorker(),
    KillJobs(),
    KillMetrics(),
    KillSupervisor(),
    KillBackends(),
    TerminateBackends(),
    KillPostmaster(),
)
PRIVATE_FAULTS = (KillPrivatePostmaster(), KillSupervisorOfPrivate())
