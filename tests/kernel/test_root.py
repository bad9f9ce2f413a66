"""The root of the API, the health checks, and how answers reach the HTTP server."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from kernel.http.views.rendering import complete
from tests.support.api.client import APIClient

# When a response is closed, Django checks its connections. So all these tests need database access.
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/"])
def test_root_greets(path: str, anonymous: APIClient) -> None:
    answer = anonymous.get(path)
    assert answer.status_code == 200
    assert answer.content.decode() == '{"message":"👋"}'


def test_request_id_is_new_and_never_the_clients(anonymous: APIClient) -> None:
    sent = str(uuid.uuid4())
    headers = {"X-Coder-Request-Id": sent, "X-Request-Id": sent}
    ids = {anonymous.get("/api/v2/", headers=headers)["X-Coder-Request-Id"] for _ in range(2)}
    assert len(ids - {sent}) == 2


def test_health_is_ok_without_the_database(
    anonymous: APIClient, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert anonymous.get("/healthz").content == b"OK"
        assert anonymous.get("/livez").json() == {"status": "ok"}


def test_readiness_reports_each_check(anonymous: APIClient) -> None:
    answer = anonymous.get("/readyz")
    assert answer.status_code == 200
    state = answer.json()
    assert (state["status"], state["database"], state["migrations"]) == ("ok", "ok", "ok")
    assert state["checks"]["snapshot"] is None
    assert "jobs" in state["checks"]
    assert state["checks"]["servers"] == {"state": "ok"}


def test_service_with_a_missing_migration_is_not_ready(anonymous: APIClient) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (503, "pending")


def test_other_origins_may_read_answers_only_if_the_option_allows_it(
    settings: Any, anonymous: APIClient
) -> None:
    headers = {
        "Origin": "https://other.example.com",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "coder-session-token",
    }
    answer = anonymous.get("/api/v2/buildinfo", headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers
    settings.CORS_ALLOW_ALL_ORIGINS = True
    preflight = anonymous.options("/api/v2/deployment/ssh", headers=headers)
    answer = anonymous.get("/api/v2/buildinfo", headers=headers)
    assert preflight.status_code == 200
    assert "coder-session-token" in preflight.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("pieces", [None, [], [b"o", b"k"]])
def test_complete_answer_is_closed_at_once_and_a_stream_by_the_server(
    pieces: list[bytes] | None,
) -> None:
    is_stream = pieces is not None
    response: HttpResponseBase = (
        HttpResponse(b"ok") if pieces is None else StreamingHttpResponse(iter(pieces))
    )
    closed: list[bool] = []
    response._resource_closers.append(lambda: closed.append(True))  # type: ignore[attr-defined]
    body: Any = complete(lambda *_: response)({}, lambda *_: lambda _: None)
    assert (isinstance(body, list), bool(closed)) == (not is_stream, not is_stream)
    assert list(body) == ([b"ok"] if pieces is None else pieces)
    if is_stream:
        body.close()
    assert closed
