"""Paths as Coder's clients send them, and paths that only Coder has."""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from kernel.telemetry.logs import HumanFormatter, RequestFilter
from tests.support.api.client import APIClient
from tests.support.browsers.markup import forbidden_in, unlabelled_in

pytestmark = pytest.mark.django_db
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(
    "path",
    ["/api/v2//users/me", "/api//v2/users///me", "/api/v2//", "/api/v2//deployment//ssh"],
)
def test_repeated_slashes_count_as_one_and_a_trailing_slash_is_another_path(
    path: str, member: APIClient
) -> None:
    assert member.get(path).status_code == 200
    assert member.get("/api/v2/users/me//").status_code == 404


@pytest.mark.usefixtures("same_minute")
def test_repeated_slashes_do_not_avoid_the_rate_limit(settings: Any, anonymous: APIClient) -> None:
    settings.API_RATE_LIMIT = 1
    statuses = [anonymous.get(path).status_code for path in ("/api/v2/", "/api//v2/")]
    assert statuses == [200, 429]


@pytest.mark.parametrize("prefix", ["/api/v2", "/api/coderapi/v1"])
def test_a_path_of_the_api_has_the_whole_prefix(prefix: str, anonymous: APIClient) -> None:
    for path, is_limited in ((prefix, True), (f"{prefix}/nothing", True), (f"{prefix}0/x", False)):
        assert ("X-RateLimit-Limit" in anonymous.get(path).headers) is is_limited, path


@pytest.mark.parametrize("method", ["get", "options"])
def test_latency_check_allows_every_origin_and_rejects_writes(
    method: str, anonymous: APIClient
) -> None:
    sent = {"Origin": "https://coder.example.com", "Access-Control-Request-Headers": "X-Check"}
    answer = getattr(anonymous, method)("/latency-check", headers=sent)
    assert (answer.status_code, answer.content) == (200, b"OK")
    assert answer.headers["Content-Type"].startswith("text/plain")
    for name in ("Access-Control-Allow-Origin", "Timing-Allow-Origin"):
        assert answer.headers[name] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    rejected = anonymous.post("/latency-check")
    assert (rejected.status_code, rejected.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v2/workspaces", {}),
        ("/api/v2/users/me/gitsshkey", {}),
        ("/api/v2/workspaces", HTML),
        ("/api/coderapi/v1/nothing", HTML),
        ("/templates", {}),
        ("/templates", {"Accept": "*/*"}),
    ],
)
def test_path_of_coder_only_is_404_with_an_explanation(
    path: str, headers: dict[str, str], member: APIClient
) -> None:
    answer = member.get(path, headers=headers)
    assert answer.status_code == 404
    assert "not found" in answer.json()["message"]
    assert answer.json()["detail"] == f"There is no {path}. {settings.ABOUT}"


@pytest.mark.parametrize("path", ["/templates", "/@ada/dev/terminal", "/workspaces/", "/<b>"])
def test_browser_gets_the_explanation_as_a_page(path: str) -> None:
    answer = Client().get(path, headers=HTML)
    page = answer.content.decode()
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert settings.ABOUT.replace("'", "&#x27;") in page
    assert "<b>" not in page
    assert "nonce-" in answer.headers["Content-Security-Policy"]
    assert not forbidden_in(answer)
    assert not unlabelled_in(answer)


def test_suspicious_requests_are_one_line_in_the_log(
    anonymous: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    strict = Client(enforce_csrf_checks=True)
    for _ in range(3):
        files = {f"file{number}": BytesIO(b"x") for number in range(101)}
        assert anonymous.post("/login", files).status_code == 400
        assert strict.post("/login").status_code == 400
    found = [r for r in caplog.records if r.name.startswith("django.security.")]
    assert sorted(r.name.rpartition(".")[2] for r in found) == ["TooManyFilesSent", "csrf"]
    [record] = (r for r in found if not r.name.endswith("csrf"))
    assert record.levelno == logging.ERROR
    RequestFilter().filter(record)
    assert "\n" not in HumanFormatter().format(record)
