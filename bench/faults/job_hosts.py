"""Faults of jobs: their host vanishes or freezes, or their database is away for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import psycopg

from bench.faults.clients import POLL_SECONDS, Load
from bench.faults.rounds import CALM_SECONDS, Fault, Round, keep
from bench.faults.stages import TwoHosts
from bench.load import BenchError

JOB = "collect_deployment_stats"
# The first statement of the job's transaction. It takes a lock that every run of the job needs.
# The lock of the job itself belongs to another session.
PATTERN = "pg_advisory_xact_lock"
RUN_SECONDS = 30.0
LEFT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
FINISHED = (
    "SELECT count(*) FROM jobs_jobrun WHERE job_name = %s AND finished_at > %s AND error = ''"
)
# The processes that ran a job since PostgreSQL started.
HOSTS = """
SELECT count(DISTINCT process) FROM jobs_jobrun
WHERE finished_at > pg_postmaster_start_time() AND started_at > pg_postmaster_start_time()
    AND error = ''
"""
NOW = "SELECT clock_timestamp()"


class LostJob(Fault[TwoHosts]):
    """Ends a host in the transaction of a job, while another host serves the clients.

    `away` is the time until the other host has run the job.
    """

    stage = TwoHosts
    order = ""

    def play(self, stage: TwoHosts, found: Round, chance: random.Random) -> None:
        with Load(stage.service) as load, stage.look() as connection:
            time.sleep(CALM_SECONDS + chance.random())
            stage.second_proxy.order(self.order, PATTERN)
            if not _until(lambda: stage.second_proxy.order("forwarding") == "no", RUN_SECONDS):
                raise BenchError(f"The second host does not run {JOB}.")
            load.repaired()
            lost, ((moment,),) = time.monotonic(), connection.execute(NOW).fetchall()
            if _until(lambda: _count(connection, FINISHED, JOB, moment), 2 * self.max_away):
                found.away = round(time.monotonic() - lost, 1)
            self.look(stage, connection, found)
            if load.seconds_away(at_most=2 * self.max_away + RUN_SECONDS) is None:
                found.problems.append(f"still in trouble: {', '.join(load.troubled())}")
        keep(load, found)

    def look(
        self, stage: TwoHosts, connection: psycopg.Connection[tuple[int]], found: Round
    ) -> None:
        """Adds other problems of the round, before the load ends."""


class JobHostVanished(LostJob):
    """A host drops every packet in the transaction of its job. Away: until another host runs it."""

    name, rounds, order = "job-host-vanishes", 3, "vanish"

    def look(
        self, stage: TwoHosts, connection: psycopg.Connection[tuple[int]], found: Round
    ) -> None:
        if not _until(lambda: not _count(connection, LEFT, stage.SECOND), self.max_away):
            found.problems.append("PostgreSQL keeps sessions of the vanished host")


class JobHostFrozen(LostJob):
    """A host freezes in the transaction of its job. Away: until another host runs it."""

    name, rounds, order = "job-host-frozen", 1, "freeze"
    # The lock of the job expires after 15 seconds, the transaction after a minute.
    max_away = 65.0


class JobsPaused(Fault[TwoHosts]):
    """PostgreSQL stops for 25 seconds. Away: until the jobs of both hosts run again."""

    name, stage, rounds, seconds, max_away = "jobs-paused", TwoHosts, 2, 25.0, 5.0

    def play(self, stage: TwoHosts, found: Round, chance: random.Random) -> None:
        with Load(stage.service) as load:
            time.sleep(CALM_SECONDS + chance.random())
            stage.cluster.stop()
            time.sleep(self.seconds)
            stage.cluster.start()
            begun = time.monotonic()
            load.repaired()
            with stage.look() as connection:
                if _until(lambda: _count(connection, HOSTS) == 2, 2 * self.max_away):
                    found.away = round(time.monotonic() - begun, 1)
            if load.seconds_away(at_most=RUN_SECONDS) is None:
                found.problems.append(f"still in trouble: {', '.join(load.troubled())}")
        keep(load, found)


def _count(connection: psycopg.Connection[tuple[int]], query: str, *values: object) -> int:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else 0


def _until(condition: Callable[[], object], seconds: float) -> bool:
    """Waits for the condition. Returns whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


FAULTS = (JobHostVanished(), JobHostFrozen(), JobsPaused())
