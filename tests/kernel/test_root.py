"""The API's root, the service's health, and what every answer carries."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.client import APIClient

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api/v2", "/api/v2/"])
def test_root_greets(path: str, anonymous: APIClient) -> None:
    answer = anonymous.get(path)

    assert answer.status_code == 200
    assert answer.content.decode() == '{"message":"👋"}'


def test_request_id_is_fresh_and_never_the_clients(anonymous: APIClient) -> None:
    sent = str(uuid.uuid4())
    headers = {"X-Coder-Request-Id": sent, "X-Request-Id": sent}

    ids = {anonymous.get("/api/v2/", headers=headers)["X-Coder-Request-Id"] for _ in range(2)}

    assert len(ids) == 2
    assert sent not in ids


def test_site_leads_to_the_admin(anonymous: APIClient) -> None:
    answer = anonymous.get("/")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_health_is_ok_without_the_database(
    anonymous: APIClient, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert anonymous.get("/healthz").content == b"OK"
        assert anonymous.get("/livez").json() == {"status": "ok"}


def test_readiness_tells_what_was_found(anonymous: APIClient) -> None:
    answer = anonymous.get("/readyz")

    assert answer.status_code == 200
    found = answer.json()
    assert (found["status"], found["database"], found["migrations"]) == ("ok", "ok", "ok")
    assert found["parts"]["snapshot"] is None
    assert "jobs" in found["parts"]


PREFLIGHT = {
    "Origin": "https://other.example.com",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "coder-session-token",
}


def test_other_origins_are_not_let_in_by_default(anonymous: APIClient) -> None:
    answer = anonymous.get("/api/v2/buildinfo", headers={"Origin": "https://other.example.com"})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_other_origins_are_let_in_where_the_option_says_so(
    settings: Any, anonymous: APIClient
) -> None:
    settings.CORS_ALLOW_ALL_ORIGINS = True

    preflight = anonymous.options("/api/v2/deployment/ssh", headers=PREFLIGHT)
    answer = anonymous.get("/api/v2/buildinfo", headers=PREFLIGHT)

    assert preflight.status_code == 200
    assert "coder-session-token" in preflight.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
