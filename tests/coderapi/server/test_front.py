"""The exchange in this process: which requests need Django, and which ones need no body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection

from coderapi import web
from coderapi.steps import STEPS
from kernel.db.backend.base import connections
from kernel.http import exchange
from kernel.http.body import Body
from kernel.http.call import Call
from kernel.http.responses import Answer, headers_of
from kernel.http.results import Ask, Results, Step
from tests.support.api.client import APIClient
from tests.support.api.paths import API, DOCUMENTS, REPORTS, full
from tests.support.concurrency import await_announcements
from tests.support.factories import make_key, make_user
from tests.support.processes import wait_for
from tests.support.servers.front import answered, answered_by, ran_by, request_to, site
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
    await_announcements()
    for path, query, by in (
        ("/deployment/stats", "", "front"),
        ("/deployment/stats", "at=2026-01-01T00:00:00Z", "django"),
        ("/api/coderapi/v1/stats/history", "step=1h", "front"),
        ("/api/coderapi/v1/stats/history", "step=x", "django"),
    ):
        APIClient(token=token).get(f"{full(path)}?{query}")
        assert answered_by(full(path), query, Coder_Session_Token=token) == by, (path, query)


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


def broken(_call: Call, _found: Results) -> Answer:
    raise AttributeError


def queries(_call: Call, _found: Results) -> Answer:
    """Otherwise, all clients would wait for the database."""
    User.objects.exists()
    return Answer(200, b"")


@pytest.mark.parametrize(
    ("step", "error"), [(broken, AttributeError), (queries, SynchronousOnlyOperation)]
)
def test_error_or_query_in_a_step_is_a_logged_500(
    connected: None, caplog: pytest.LogCaptureFixture, step: Any, error: type[Exception]
) -> None:
    served, stop = site(None, steps=[Step("", step)])
    answer = answered(served, request_to(f"{API}/deployment/ssh"))
    stop()
    assert answer.status == 500
    assert headers_of(answer.lines)["X-Coder-Request-Id"] in answer.body.decode()
    [record] = [record for record in caplog.records if record.name == exchange.__name__]
    assert record.exc_info
    assert record.exc_info[0] is error


def test_step_after_the_limit_may_ask_and_the_request_counts_once(
    connected: None, same_minute: None
) -> None:
    token = make_key(make_user("owner")).token
    asked: list[str] = []

    async def asks(_call: Call, found: Results) -> None:
        await Ask(lambda: asked.append(User.objects.get().username))

    served, stop = site(None, steps=[*STEPS, Step("", asks)])
    path = f"{API}/deployment/ssh"
    first = int(APIClient(token=token).get(path)["X-RateLimit-Remaining"])
    left = [
        int(headers_of(answered(served, request).lines)["X-RateLimit-Remaining"])
        for request in (request_to(path, token=token) for _ in range(2))
    ]
    stop()
    assert left == [first - 1, first - 2]
    assert len(asked) == 2


class Unread(Body):
    """A body that must not be read."""

    def read(self, cap: int) -> Any:
        raise AssertionError("The body is read")


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [
        ("POST", "/users", None, 401),
        ("POST", "/users", [], 403),
        ("PUT", "/users", ["owner"], 405),
        ("PATCH", "/deployment/ssh", ["owner"], 405),
        ("POST", "/nowhere", None, 404),
        ("POST", "/api/coderapi/v1/stats/agent-rows", ["auditor"], 403),
        ("PATCH", f"/api/coderapi/v1/csp/groups/{UUID(int=1)}", [], 403),
        *[("POST", f"/csp/reports{query}", None, 401) for query in ("", "?key=cik_unknown")],
        ("POST", "/users/login", None, 429),
    ],
)
def test_request_that_is_rejected_anyway_needs_no_body(
    connected: None, settings: Any, method: str, path: str, role: list[str] | None, status: int
) -> None:
    settings.SIGN_IN_RATE_LIMIT = 0
    path, _, query = path.partition("?")
    token = make_key(make_user(*role)).token if role is not None else ""
    request = request_to(full(path), method=method, query=query, token=token)
    request.body = Unread(5, lambda: None)
    served, stop = site(get_wsgi_application())
    assert answered(served, request).status == status
    stop()


def test_every_document_and_health_check_is_a_route_of_the_front(settings: Any) -> None:
    found = {full(path) for path in [*DOCUMENTS, REPORTS]}
    assert set(web.routes("coderapi.urls")) == found | settings.HEALTH_PATHS
