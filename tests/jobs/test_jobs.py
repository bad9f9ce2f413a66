from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import registry
from jobs.models import JobRun
from jobs.registry import Job, JobFailedError, register
from jobs.selectors import (
    FIRST_RETRY,
    MAX_RETRY,
    jobs_state,
    next_slot,
    retry_delay,
    slot_of,
    upcoming,
)
from jobs.services import (
    ABANDONED,
    RUN_RETENTION,
    Lease,
    fail_abandoned_runs,
    job_lock,
    prune_runs,
    run_if_due,
    run_job,
)
from jobs.worker import MAX_SECONDS, seconds_to_next
from kernel.telemetry import metrics
from tests.support.api.client import APIClient
from tests.support.commands import run
from tests.support.job_registry import empty_registry
from tests.support.processes import DEADLINE_SECONDS, wait_for

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

type Registered = Callable[..., Job]


@pytest.fixture
def register_job() -> Iterator[Registered]:
    """Registers jobs in a registry that is empty at the start of the test."""

    def make(run: Callable[[datetime], int | None] = lambda now: None, **more: object) -> Job:
        return register(Job(**{"name": "test_job", "every": HOUR, "run": run, **more}))  # type: ignore[arg-type]

    with empty_registry():
        yield make


def fails(now: datetime) -> int:
    raise ValueError("no such luck")


def add_run(
    slot: datetime, *, error: str = "", finished: bool = True, job: str = "test_job"
) -> JobRun:
    at = {"scheduled_at": slot, "started_at": slot, "finished_at": slot if finished else None}
    return JobRun.objects.create(job_name=job, error=error, process="elsewhere:1", **at)


@pytest.mark.parametrize(
    ("every", "slot"),
    [
        (MINUTE, datetime(2026, 3, 4, 13, 47, tzinfo=UTC)),
        (HOUR, datetime(2026, 3, 4, 13, tzinfo=UTC)),
        (timedelta(days=1), datetime(2026, 3, 4, tzinfo=UTC)),
        (timedelta(0), datetime(2026, 3, 4, 13, 47, 31, tzinfo=UTC)),
    ],
)
def test_slots_are_multiples_of_the_interval(every: timedelta, slot: datetime) -> None:
    moment = datetime(2026, 3, 4, 13, 47, 31, 500, tzinfo=UTC)
    assert slot_of(moment, every=every) == slot


def done(slot: datetime, *, failed: bool = False, finished: bool = True) -> JobRun:
    error = "failed" if failed else ""
    return JobRun(scheduled_at=slot, finished_at=slot + MINUTE if finished else None, error=error)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], NOON),
        ([done(NOON)], NOON + HOUR),
        ([done(NOON - HOUR)], NOON),
        ([done(NOON - 50 * HOUR)], NOON),
        ([done(NOON, finished=False)], NOON + HOUR),
        ([done(NOON, failed=True)], NOON + MINUTE + FIRST_RETRY),
        ([done(NOON, failed=True)] * 2, NOON + MINUTE + 2 * FIRST_RETRY),
        ([done(NOON, failed=True)] * 8, NOON + HOUR),
        ([done(NOON - 2 * HOUR, failed=True)], NOON - 2 * HOUR + MINUTE + FIRST_RETRY),
        ([done(NOON + 10 * MINUTE)], NOON + HOUR),
    ],
    ids=["first", "done", "due", "missed", "running", "failed", "again", "often", "old", "by hand"],
)
def test_next_slot(runs: list[JobRun], expected: datetime) -> None:
    assert next_slot(runs, every=HOUR, now=NOON + 20 * MINUTE) == expected


@given(failures=st.integers(min_value=0, max_value=10_000))
def test_retry_delays_grow_within_limits(failures: int) -> None:
    assert FIRST_RETRY <= retry_delay(failures) <= retry_delay(failures + 1) <= MAX_RETRY


def test_a_name_is_registered_once(register_job: Registered) -> None:
    job = register_job()
    assert registry.find("test_job") is job
    with pytest.raises(ValueError, match="two jobs named 'test_job'"):
        register_job()


def test_a_run_is_recorded_with_its_rows_and_logged_at_debug(
    register_job: Registered, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="jobs")
    seen: list[datetime] = []

    def run_at(now: datetime) -> int:
        seen.append(now)
        return 7

    run_job(register_job(run_at), NOON)
    run = JobRun.objects.get()
    assert (run.job_name, run.scheduled_at, run.started_at) == ("test_job", NOON, NOON)
    assert (run.affected_rows, run.state, run.error) == (7, "ok", "")
    assert run.finished_at is not None
    assert run.finished_at >= NOON
    assert seen == [NOON]
    logged = [each for each in caplog.records if each.name.startswith("jobs")]
    assert [(each.levelname, each.message) for each in logged] == [("DEBUG", "Job test_job: ok")]


def test_an_enabled_job_runs_once_in_each_slot(register_job: Registered) -> None:
    job, off = register_job(), register_job(name="off", enabled=lambda: False)
    assert slot_run(job, NOON + MINUTE) == NOON
    assert slot_run(job, NOON + 59 * MINUTE) is None
    assert slot_run(job, NOON + HOUR) == NOON + HOUR
    assert run_job(job, NOON + HOUR, slot=NOON) is None
    assert JobRun.objects.count() == 2
    assert run_if_due(off, NOON) is None
    assert seconds_to_next(off) == MAX_SECONDS


def test_a_job_that_another_process_runs_is_skipped(register_job: Registered) -> None:
    job = register_job()
    with job_lock(job.name) as acquired:
        assert acquired
        assert run_job(job, NOON) is None
        assert not JobRun.objects.exists()
        # Its run is not marked as failed.
        add_run(NOON, finished=False)
        assert fail_abandoned_runs(NOON + MINUTE) == 0
    assert JobRun.objects.get().state == "running"


def is_free(name: str) -> bool:
    with job_lock(name) as acquired:
        return acquired


def test_a_lock_that_nobody_renews_ends() -> None:
    with job_lock("frozen", lease=Lease(2, DEADLINE_SECONDS)) as acquired:
        assert acquired
        assert not is_free("frozen")
        wait_for(lambda: is_free("frozen"))


def test_a_lock_that_is_renewed_stays() -> None:
    with job_lock("long", lease=Lease(2, 0.1)) as acquired:
        assert acquired
        begun = time.monotonic()
        # Twice as long as the lease.
        wait_for(lambda: time.monotonic() > begun + 4 or is_free("long"))
        assert not is_free("long")


@pytest.mark.parametrize(
    ("raised", "stored", "traceback"),
    [
        (ValueError("no such luck"), "ValueError: no such luck", True),
        (ValueError("postgresql://me:pw@db/x\0"), "ValueError: postgresql://me:***@db/x", True),
        (JobFailedError("The server is down."), "The server is down.", False),
    ],
    ids=["unexpected", "with a password and NUL", "expected"],
)
def test_a_failure_is_recorded_and_logged(
    register_job: Registered, caplog: Any, raised: Exception, stored: str, traceback: bool
) -> None:
    def run(now: datetime) -> int:
        raise raised

    assert run_if_due(register_job(run), NOON)
    stored_run = JobRun.objects.get()
    assert (stored_run.error, stored_run.affected_rows) == (stored, None)
    [record] = [record for record in caplog.records if "Job test_job failed" in record.message]
    assert bool(record.exc_info) is traceback


def slot_run(job: Job, now: datetime) -> datetime | None:
    """Returns the slot that was run, if one was due."""
    run = run_if_due(job, now)
    return run.scheduled_at if run else None


def test_jobs_run_after_a_clock_was_ahead(register_job: Registered) -> None:
    job = register_job()
    for hours in range(9, 20):
        run_if_due(job, NOON + hours * HOUR)
    assert slot_run(job, NOON) == NOON
    assert [slot for slot, _ in upcoming(NOON)] == [NOON + HOUR]


def test_runs_of_a_clock_that_was_ahead_do_not_hide_current_runs(
    owner: APIClient, register_job: Registered
) -> None:
    register_job()
    now = timezone.now()
    add_run(now + 9 * HOUR)
    assert jobs_state(now)["test_job"] == {"state": "never", "is_late": False}
    failed = add_run(now - HOUR, error="no such luck")
    assert jobs_state()["test_job"]["scheduled_at"] == failed.scheduled_at
    metrics.discover()
    gauges = {each.name: each.samples for each in metrics.read_database_gauges(now)}
    assert [each.value for each in gauges["coderapi_job_last_run_age_seconds"]] == [3600]
    assert [each.value for each in gauges["coderapi_job_failing"]] == [1]
    owner.force_login(owner.user)
    assert "no such luck" in owner.get("/admin/").text


def test_a_failed_job_is_retried_soon(register_job: Registered) -> None:
    job = register_job(fails)
    run_if_due(job, NOON)
    [(retry, _)] = upcoming(NOON)
    assert NOON < retry < NOON + 2 * HOUR
    JobRun.objects.update(finished_at=NOON)
    assert slot_run(job, NOON + FIRST_RETRY - timedelta(seconds=1)) is None
    assert slot_run(job, NOON + FIRST_RETRY) == NOON + FIRST_RETRY


def test_a_run_without_a_process_is_marked_as_failed_and_retried(
    register_job: Registered,
) -> None:
    job = register_job()
    add_run(NOON, finished=False)
    assert slot_run(job, NOON + MINUTE) is None
    assert JobRun.objects.get().error == ABANDONED
    again = NOON + MINUTE + FIRST_RETRY
    assert slot_run(job, again) == again


def test_a_run_that_was_marked_as_failed_stays_failed(
    register_job: Registered, caplog: pytest.LogCaptureFixture
) -> None:
    def meanwhile(now: datetime) -> int:
        JobRun.objects.update(finished_at=now, error=ABANDONED)
        return 3

    run_job(register_job(meanwhile), NOON)
    assert JobRun.objects.get().error == ABANDONED
    assert "after its run was marked as failed" in caplog.text


def test_old_runs_are_pruned_except_the_newest_of_each_job() -> None:
    old = NOON - RUN_RETENTION - HOUR
    add_run(old - HOUR)
    add_run(old)
    add_run(old, job="other")
    add_run(NOON, job="other")
    add_run(old, job="removed", finished=False)
    assert prune_runs(NOON) == 2
    assert JobRun.objects.get(job_name="removed").error == ABANDONED
    JobRun.objects.filter(job_name="removed").delete()
    found = set(JobRun.objects.values_list("job_name", "scheduled_at"))
    assert found == {("test_job", old), ("other", NOON)}


def test_the_state_of_each_job(register_job: Registered) -> None:
    for name in ("never", "fine", "broken"):
        register_job(name=name)
    add_run(NOON - HOUR, job="fine", error="long ago")
    add_run(NOON, job="fine")
    add_run(NOON, job="broken", error="now")
    states = {name: state["state"] for name, state in jobs_state(NOON + MINUTE).items()}
    assert states == {"never": "never", "fine": "ok", "broken": "failed"}


@pytest.mark.parametrize(
    ("ago", "finished", "late"),
    [
        (20 * MINUTE, False, False),
        (40 * MINUTE, False, True),
        (HOUR + 20 * MINUTE, True, False),
        (HOUR + 40 * MINUTE, True, True),
    ],
)
def test_a_job_is_late_if_a_run_or_the_next_one_takes_too_long(
    owner: APIClient, register_job: Registered, ago: timedelta, finished: bool, late: bool
) -> None:
    now = timezone.now()
    register_job(max_duration=30 * MINUTE)
    add_run(now - ago, finished=finished)
    metrics.discover()
    gauges = {each.name: each.samples for each in metrics.read_database_gauges(now)}
    assert [each.value for each in gauges["coderapi_job_late"]] == [late]
    assert owner.get("/readyz").json()["checks"]["jobs"]["test_job"]["is_late"] is late
    owner.force_login(owner.user)
    line = owner.get("/admin/").text.partition("test_job")[2].partition("</dd>")[0]
    assert ("state-failed" in line) is late


def test_run_job_runs_one_job_now(register_job: Registered) -> None:
    register_job(lambda now: 4)
    assert run("run_job", "test_job") == "Job test_job: 4 rows."
    with pytest.raises(CommandError, match=r"invalid choice: 'tset_job' .*test_job"):
        run("run_job", "tset_job")
    with job_lock("test_job"), pytest.raises(CommandError, match="is already running"):
        run("run_job", "test_job")
    register_job(fails, name="failing")
    with pytest.raises(CommandError, match="Job failing failed: ValueError: no such luck"):
        run("run_job", "failing")


def test_the_admin_shows_runs_and_cannot_change_them(owner: APIClient) -> None:
    run = add_run(NOON, error="It broke.")
    owner.force_login(owner.user)
    page = owner.get("/admin/jobs/jobrun/")
    assert page.status_code == 200
    assert "test_job" in page.text
    assert "failed" in page.text
    assert "It broke." in owner.get(f"/admin/jobs/jobrun/{run.pk}/change/").text
    assert owner.get("/admin/jobs/jobrun/add/").status_code == 403
    assert owner.post(f"/admin/jobs/jobrun/{run.pk}/delete/").status_code == 403
