from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from jobs.models import JobRun
from jobs.registry import Job, register
from jobs.selectors import jobs_state
from jobs.services import ABANDONED, fail_abandoned_runs
from jobs.worker import seconds_to_next, work
from kernel.db.connections import connect_directly, lock_number
from tests.support.job_registry import empty_registry
from tests.support.processes import (
    DEADLINE_SECONDS,
    PROJECT,
    Program,
    in_database,
    own_database,
    wait_for,
)


@pytest.fixture
def own_jobs() -> Iterator[None]:
    with empty_registry():
        yield


@contextmanager
def working() -> Iterator[threading.Thread]:
    """Runs the worker in a thread until the end of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()


def every_second(**more: Any) -> Job:
    return register(
        Job(**{"name": "tick", "every": timedelta(seconds=1), "run": lambda now: 1, **more})
    )


def finished() -> int:
    return JobRun.objects.exclude(finished_at=None).count()


@pytest.mark.usefixtures("own_jobs")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_two_workers_share_the_slots() -> None:
    every_second()
    with working(), working():
        wait_for(lambda: finished() >= 3)
    seconds = [run.scheduled_at for run in JobRun.objects.all()]
    assert len(set(seconds)) == len(seconds)
    assert not JobRun.objects.exclude(error="").exists()


@pytest.mark.usefixtures("own_jobs")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_worker_survives_an_outage_of_its_database(caplog: pytest.LogCaptureFixture) -> None:
    every_second()
    name = connections["default"].settings_dict["NAME"]
    with (
        working() as thread,
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server,
    ):
        wait_for(finished)
        connections["default"].close()
        connections["default"].close_pool()  # type: ignore[attr-defined]
        server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        try:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            wait_for(lambda: "The database is unavailable, jobs wait" in caplog.text)
        finally:
            server.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        wait_for(lambda: "The database is available again, jobs continue" in caplog.text)
        before = finished()
        wait_for(lambda: finished() > before)
        assert thread.is_alive()
    assert caplog.text.count("The database is unavailable, jobs wait") == 1


@pytest.mark.usefixtures("own_jobs")
@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_read_only_database_is_one_outage(caplog: pytest.LogCaptureFixture) -> None:
    looks = 0

    def is_enabled() -> bool:
        nonlocal looks
        looks += 1
        return True

    every_second()
    # This job only reads, because another session holds its lock.
    every_second(name="busy", enabled=is_enabled)
    name = connections["default"].settings_dict["NAME"]
    connections["default"].close_pool()  # type: ignore[attr-defined]
    with connect_directly() as holder, psycopg.connect(os.environ["DATABASE_URL"]) as server:
        server.autocommit = True
        holder.execute("SELECT pg_advisory_lock(%s)", [lock_number("jobs.busy")])
        server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        try:
            with working():
                wait_for(lambda: "read-only transaction" in caplog.text)
                before = looks
                wait_for(lambda: looks > before + 4)
                assert "jobs continue" not in caplog.text
                server.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
                wait_for(lambda: "jobs continue" in caplog.text)
        finally:
            server.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert caplog.text.count("The database is unavailable, jobs wait") == 1


@pytest.mark.usefixtures("own_jobs")
@pytest.mark.django_db(transaction=True)
def test_a_job_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts, thread_of = iter(range(1000)), threading.Thread

    def thread(**more: Any) -> threading.Thread:
        if next(starts) == 0:
            raise RuntimeError("can't start new thread")
        return thread_of(**more)

    every_second()
    monkeypatch.setattr("jobs.services.Thread", thread)
    monkeypatch.setattr("jobs.worker.MAX_SECONDS", 0.1)
    with working():
        wait_for(finished)
    assert "Job tick cannot be started" in caplog.text


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Registers a job that sets the event and does not finish before the test."""
    started, released = threading.Event(), threading.Event()

    def run(now: datetime) -> None:
        started.set()
        released.wait(DEADLINE_SECONDS)

    register(Job(name="stuck", every=timedelta(days=1), run=run, max_duration=timedelta(0)))
    yield started
    released.set()
    wait_for(lambda: "job-stuck" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_stuck_job_is_late_and_does_not_block_others(
    own_jobs: None, stuck: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    every_second()
    with working():
        assert stuck.wait(DEADLINE_SECONDS)
        before = finished()
        wait_for(lambda: finished() >= before + 2)
        state = jobs_state()["stuck"]
        assert (state["state"], state["is_late"]) == ("running", True)
    # The worker did not wait longer than its maximum duration.
    assert "Job stuck is abandoned after 0:00:00" in caplog.text


@pytest.mark.usefixtures("own_jobs")
@pytest.mark.django_db
def test_it_sleeps_until_the_next_slot_or_the_limit() -> None:
    now = timezone.now()
    # The slots of a thousand years begin in 1970 and after 2900, far from any test.
    for days, low, high in ((1 / 86_400, 0, 1), (365_000, 30, 30)):
        job = every_second(name=f"every_{days}_days", every=timedelta(days=days))
        JobRun.objects.create(
            job_name=job.name, scheduled_at=now, started_at=now, finished_at=now, process="x"
        )
        assert low <= seconds_to_next(job) <= high


SLOW_RUN = """
import django, sys, time
django.setup()
from django.utils import timezone
from jobs.registry import Job
from jobs.services import run_job

def run(now):
    print("running", flush=True)
    time.sleep(600)

run_job(Job(name="slow", every=None, run=run), timezone.now())
"""


@pytest.mark.django_db(transaction=True)
def test_a_killed_run_is_marked_as_failed() -> None:
    database = connections["default"].settings_dict["NAME"]
    program = subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN],
        env={
            **os.environ,
            "DATABASE_URL": in_database(os.environ["DATABASE_URL"], database),
            "DJANGO_SETTINGS_MODULE": "coderapi.settings",
        },
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout
        assert program.stdout.readline() == "running\n"
        assert fail_abandoned_runs(timezone.now()) == 0
        program.kill()
    wait_for(lambda: fail_abandoned_runs(timezone.now()))
    assert JobRun.objects.get(job_name="slow").error == ABANDONED


def test_worker_waits_for_its_migrations_and_runs_jobs_until_sigterm(tmp_path: Path) -> None:
    with own_database() as url, psycopg.connect(url, autocommit=True) as database:
        database.execute(
            "CREATE TABLE taken AS SELECT * FROM django_migrations WHERE app = 'stats'"
        )
        database.execute("DELETE FROM django_migrations WHERE app = 'stats'")
        environment = {"DATABASE_URL": url, "CODER_UPDATE_CHECK": "false", "CODER_VERBOSE": "true"}
        with Program("worker", log=tmp_path / "log", **environment) as worker:
            worker.wait_for_log("Jobs wait, because migrations of this release are missing")
            assert database.execute("SELECT count(*) FROM jobs_jobrun").fetchone() == (0,)
            database.execute("INSERT INTO django_migrations SELECT * FROM taken")
            worker.wait_for_log("Job prune_job_runs: ok")
            assert "Traceback" not in (tmp_path / "log").read_text()
            assert worker.end() == 0
            assert worker.all_processes() == []
