"""/readyz: what it says, that nobody can make it slow, and that it names why writes fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from coderapi import readiness
from coderapi.database import migrating
from jobs import registry, selectors
from jobs.models import JobRun
from kernel import memory
from kernel.db import failures, listener
from kernel.db.backend.base import connections
from kernel.db.connections import note_answer
from kernel.http.views.handlers import to_api_error
from tests.support.api.client import APIClient

FULL = psycopg.errors.DiskFull('could not extend file "base/1/2": No space left on device')
RUNS = """
INSERT INTO jobs_jobrun (job_name, scheduled_at, started_at, finished_at, process)
SELECT name, moment, moment, moment, 'host'
FROM unnest(%s::text[]) AS name,
    generate_series(timestamptz '2026-01-01', '2026-01-02', interval '90 s') AS moment
"""
LATER = datetime(2026, 3, 1, tzinfo=UTC)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


@pytest.mark.django_db
@pytest.mark.parametrize("query", [selectors.NEWEST, selectors.NEWEST_FINISHED])
def test_newest_runs_are_found_without_reading_the_others(query: str) -> None:
    names = [job.name for job in registry.all_jobs()]
    with connection.cursor() as cursor:
        cursor.execute(RUNS, [names])
        cursor.execute("ANALYZE jobs_jobrun")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", [names, LATER])
        (found,) = cursor.fetchone()[0]
        assert cursor.execute("SELECT count(*) FROM jobs_jobrun").fetchone() > (900 * len(names),)
    read = [node for node in nodes(found["Plan"]) if node.get("Relation Name") == "jobs_jobrun"]
    assert [node["Node Type"] for node in read] == ["Index Scan"]
    assert read[0]["Actual Rows"] == 1
    assert set(selectors.newest_runs(LATER)) == set(names)


@pytest.mark.django_db(transaction=True)
def test_readiness_does_not_need_the_checks(anonymous: APIClient) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_jobrun RENAME TO jobs_gone")
    try:
        answer = anonymous.get("/readyz")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE jobs_gone RENAME TO jobs_jobrun")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert "checks" not in answer.json()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FULL, "The disk of the database is full"),
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"), "is read-only"),
    ],
)
def test_cause_of_failing_writes_is_named_everywhere(
    owner: APIClient, caplog: pytest.LogCaptureFixture, error: psycopg.Error, reason: str
) -> None:
    # A change of the status is logged.
    assert owner.get("/readyz").json()["status"] == "ok"
    memory.clear_all()
    caplog.clear()
    refusal = to_api_error(error)
    assert refusal
    answer = owner.get("/readyz")
    # Cached documents are still served, so a proxy must keep the server.
    assert (refusal.status, answer.status_code) == (503, 200)
    shown = {"status": "degraded", "database": "unwritable", "reason": refusal.detail}
    assert answer.json().items() >= shown.items()
    owner.force_login(owner.user)
    for text in (refusal.detail, owner.get("/admin/").text):
        assert reason in text
    logged = [record.levelname for record in caplog.records if reason in record.message]
    assert logged == ["ERROR", "WARNING"]


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("FATAL:  could not write init file: No space left on device", failures.FULL),
        ("FATAL:  sorry, too many clients already", failures.NO_CONNECTION),
        ("FATAL:  remaining connection slots are reserved for roles", failures.NO_CONNECTION),
        ('FATAL:  too many connections for role "coderapi"', failures.NO_CONNECTION),
        ("FATAL:  the database system is starting up", ""),
    ],
)
def test_cause_of_a_failed_connection_is_known_by_its_message(message: str, cause: str) -> None:
    error = psycopg.OperationalError(message)
    assert failures.cause_of(error) == cause
    assert migrating.is_temporary(error) == (cause != failures.FULL)


@pytest.mark.django_db
def test_read_only_database_is_degraded_and_an_answer_is_kept_for_a_second(
    anonymous: APIClient, django_assert_num_queries: Any
) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL transaction_read_only = on")
        answer = anonymous.get("/readyz").json()
        transaction.set_rollback(True)
    assert (answer["status"], answer["database"]) == ("degraded", "unwritable")
    assert "read-only" in answer["reason"]
    with django_assert_num_queries(0):
        assert anonymous.get("/readyz").json() == answer


@pytest.mark.django_db
def test_server_that_has_not_looked_lately_is_unready_and_does_not_look(
    anonymous: APIClient, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    assert anonymous.get("/readyz").json()["status"] == "ok"
    monkeypatch.setattr(readiness, "_is_looking", True)
    assert anonymous.get("/readyz").json()["status"] == "ok"
    monkeypatch.setattr(readiness, "STALE_SECONDS", 0.0)
    with django_assert_num_queries(0):
        answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, readiness.STALE)


@pytest.mark.django_db(transaction=True)
def test_busy_pool_is_no_reason_to_take_the_server_away(anonymous: APIClient) -> None:
    limiter = connections()
    places = [limiter.acquire() for _ in range(int(limiter.limit))]
    try:
        note_answer()
        answer = anonymous.get("/readyz")
        assert (answer.status_code, answer.json()["database"]) == (200, "busy")
        # A full disk that was seen lately goes first.
        assert to_api_error(FULL)
        memory.clear_all()
        state = anonymous.get("/readyz").json()
        assert (state["database"], state["reason"]) == ("unwritable", failures.FULL)
    finally:
        for place in places:
            limiter.release(place)
    failures.forget()
    memory.clear_all()
    assert anonymous.get("/readyz").json()["status"] == "ok"
    assert JobRun.objects.count() == 0


@pytest.mark.parametrize(("fresh", "status"), [(True, 200), (False, 503)])
def test_without_its_database_a_server_is_ready_while_it_may_use_its_caches(
    anonymous: APIClient, monkeypatch: pytest.MonkeyPatch, fresh: bool, status: int
) -> None:
    # Without access to a database, the probe fails as with one that does not respond.
    def fails(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "ensure_connection", fails)
    monkeypatch.setattr(listener, "is_fresh", lambda: fresh)
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (status, "unreachable")
