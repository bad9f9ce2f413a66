"""A database that no longer answers, and whose host still acknowledges packets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import Error, connection
from django.utils import timezone

from csp.models import REPORTS
from jobs.models import JobRun
from jobs.registry import Job
from jobs.services import ABANDONED, Lease, fail_abandoned_runs, job_lock, run_job
from kernel.db import partitions
from kernel.db.connections import leave_pool
from tests.support.databases.database_relay import relay
from tests.support.processes import DEADLINE_SECONDS, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = datetime(2001, 2, 3, tzinfo=UTC)


def answer_then_freeze(now: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'before'")
        cursor.execute("SELECT 'freeze'")
    return 1


def test_run_ends_if_the_database_freezes(
    tmp_path_factory: pytest.TempPathFactory, settings: Any
) -> None:
    directory = tmp_path_factory.mktemp("pg")
    job = Job(name="frozen", every=timedelta(hours=1), run=answer_then_freeze)

    def run() -> JobRun | None:
        leave_pool()
        usual = connection.settings_dict
        # The account of the relay is another one.
        options = {
            name: usual["OPTIONS"][name] for name in usual["OPTIONS"].keys() - {"requirepeer"}
        }
        connection.settings_dict = {**usual, "HOST": str(directory), "OPTIONS": options}
        try:
            return run_job(job, timezone.now(), lease=Lease(renewal_seconds=0.1))
        finally:
            connection.close()

    with (
        ThreadPoolExecutor(1) as thread,
        relay(directory, pattern=b"'freeze'", hangs=True) as between,
    ):
        settings.DIRECT_DATABASE_URL, direct = between.url, settings.DIRECT_DATABASE_URL
        between.break_next()
        # The error of the statement is not stored, because the database does not answer.
        with pytest.raises(Error):
            thread.submit(run).result(timeout=DEADLINE_SECONDS)
        assert between.broken == 1
    settings.DIRECT_DATABASE_URL = direct
    assert fail_abandoned_runs(timezone.now()) == 1
    assert JobRun.objects.get().error == ABANDONED


@pytest.mark.parametrize("statement", [b"pg_try_advisory_lock", b"pg_advisory_unlock_all"])
def test_lock_of_a_job_does_not_wait_for_a_frozen_database(
    tmp_path_factory: pytest.TempPathFactory, settings: Any, statement: bytes
) -> None:
    def lock() -> None:
        with job_lock("frozen"):
            pass

    with (
        ThreadPoolExecutor(1) as thread,
        relay(tmp_path_factory.mktemp("pg"), pattern=statement, hangs=True) as between,
    ):
        settings.DIRECT_DATABASE_URL = between.url
        between.break_next()
        error = thread.submit(lock).exception(timeout=DEADLINE_SECONDS)
        assert between.broken == 1
    assert error is None or isinstance(error, psycopg.OperationalError)


def test_dropping_does_not_wait_for_a_frozen_database(
    tmp_path_factory: pytest.TempPathFactory, settings: Any, monkeypatch: Any
) -> None:
    REPORTS.ensure(LONG_AGO, LONG_AGO)
    direct = settings.DIRECT_DATABASE_URL

    def drop() -> None:
        try:
            REPORTS.drop(LONG_AGO)
        finally:
            connection.close()

    with (
        ThreadPoolExecutor(1) as thread,
        relay(tmp_path_factory.mktemp("pg"), pattern=b"DETACH", hangs=True) as between,
        monkeypatch.context() as patched,
    ):
        patched.setattr(partitions._Dropping, "seconds", 0.5)
        settings.DIRECT_DATABASE_URL = between.url
        between.break_next()
        error = thread.submit(drop).exception(timeout=DEADLINE_SECONDS)
        assert isinstance(error, psycopg.OperationalError)
    settings.DIRECT_DATABASE_URL = direct
    # The server may still run the statement of the lost connection, which has the lock.
    wait_for(lambda: REPORTS.drop(LONG_AGO))
