"""The front in this process: which requests it answers, and which ones it leaves to Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.db import connection

from coderapi import front
from kernel import memory
from kernel.db.backend.base import connections
from kernel.http.call import Call
from kernel.http.responses import Answer
from kernel.http.steps import Results, Step
from tests.coderapi.test_sameness import API, DOCUMENTS, REPORTS
from tests.support.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.front import answered_by, ran_by
from tests.support.processes import wait_for
from users.models import User


@pytest.fixture
def all_queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of all threads, except those that begin a session."""
    found: list[str] = []
    execute: Callable[..., Any] = psycopg.Cursor.execute

    def noted(cursor: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        if isinstance(query, str) and "set_config" not in query:
            found.append(query.strip())
        return execute(cursor, query, *arguments, **more)

    monkeypatch.setattr(psycopg.Cursor, "execute", noted)
    return found


def test_remembered_document_is_answered_by_the_front(owner: APIClient) -> None:
    memory.clear_all()
    assert answered_by(f"{API}/buildinfo") == "django"
    owner.get(f"{API}/buildinfo")
    assert answered_by(f"{API}/buildinfo") == "front"
    assert answered_by(f"{API}/buildinfo", Origin="https://a.example") == "front"
    assert answered_by(f"{API}/deployment/ssh") == "django"


@pytest.mark.parametrize(
    ("method", "path", "by"),
    [
        ("POST", f"{API}/users/login", "sign-ins"),
        ("POST", f"{API}//users/login", "sign-ins"),
        ("POST", "/login", "sign-ins"),
        ("GET", "/login", "others"),
        ("POST", f"{API}/authcheck", "others"),
    ],
)
def test_sign_ins_have_their_own_threads(connected: None, method: str, path: str, by: str) -> None:
    assert ran_by(path, method=method) == by


def test_front_answers_with_the_document_of_the_parameters(connected: None) -> None:
    call_command("collect_deployment_stats")
    token = make_key(make_user("owner")).token
    for path, query, by in (
        ("/deployment/stats", "", "front"),
        ("/deployment/stats", "at=2026-01-01T00:00:00Z", "django"),
        ("/deployment/stats/history", "step=1h", "front"),
        ("/deployment/stats/history", "step=x", "django"),
    ):
        APIClient(token=token).get(f"{API}{path}?{query}")
        assert answered_by(API + path, query, Coder_Session_Token=token) == by, (path, query)


def test_first_use_of_a_key_is_answered_by_the_front(connected: None) -> None:
    user = make_user()
    first, second = (make_key(user).token for _ in range(2))
    APIClient(token=first).get(f"{API}/deployment/ssh")
    assert answered_by(f"{API}/deployment/ssh", Coder_Session_Token=second) == "front"


def test_first_use_of_a_key_takes_one_query_and_no_connection_after_it(
    connected: None, all_queries: list[str]
) -> None:
    user = make_user()
    first, second = (make_key(user).token for _ in range(2))
    APIClient(token=first).get(f"{API}/deployment/ssh")
    connection.close()
    all_queries.clear()
    assert answered_by(f"{API}/deployment/ssh", Coder_Session_Token=second) == "front"
    [query] = all_queries
    assert query.startswith("SELECT")
    assert "FROM tokens_apikey" in query
    # The thread that looked the key up has returned its connection.
    wait_for(lambda: connections()._all.taken == 0)


def test_rejected_key_is_left_to_django(connected: None, all_queries: list[str]) -> None:
    token = f"{'a' * 10}-{'b' * 22}"
    assert answered_by(f"{API}/deployment/ssh", Coder_Session_Token=token) == "django"
    assert APIClient(token=token).get(f"{API}/deployment/ssh").status_code == 401
    # Both took one query together, because the rejection is cached.
    assert len(all_queries) == 1


def test_error_in_the_front_is_logged_once_and_left_to_django(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AttributeError

    monkeypatch.setattr(front, "_logged", set())
    monkeypatch.setattr(front, "STEPS", (Step("path", broken),))
    for _ in range(3):
        assert answered_by(f"{API}/deployment/ssh") == "django"
    (record,) = [record for record in caplog.records if record.name == front.__name__]
    assert record.exc_info
    assert record.exc_info[0] is AttributeError


def test_query_in_the_event_loop_is_refused_and_django_gets_the_request(
    connected: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, all clients would wait for the database."""

    def query(_call: Call, _found: Results) -> Answer:
        User.objects.exists()
        return Answer(200, {}, b"")

    monkeypatch.setattr(front, "_logged", set())
    monkeypatch.setattr(front, "STEPS", (Step("", query),))
    assert answered_by(f"{API}/deployment/ssh") == "django"
    [record] = [record for record in caplog.records if record.name == front.__name__]
    assert record.exc_info
    assert record.exc_info[0] is SynchronousOnlyOperation


def test_every_document_of_the_api_is_a_route_of_the_front() -> None:
    assert set(front.routes("coderapi.urls")) == {API + path for path in [*DOCUMENTS, REPORTS]}
