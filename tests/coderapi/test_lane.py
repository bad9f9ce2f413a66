"""The fast lane in this process: which requests it answers, and which ones it leaves to Django."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from coderapi import lane
from kernel import memory
from tests.coderapi.test_sameness import API, DOCUMENTS, REPORTS
from tests.support.client import APIClient
from tests.support.factories import make_key, make_user


def environ(path: str, **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "SERVER_NAME": "testserver",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        **more,
    }


def answered_by(request: dict[str, Any]) -> str:
    """Returns which of the two answers the request: the lane or Django."""
    by = ["lane"]

    def django(_environ: Any, _start: Any) -> list[bytes]:
        by.append("django")
        return []

    list(lane.fast(django)(request, lambda _status, _headers: None))  # type: ignore[arg-type]
    return by[-1]


def test_remembered_document_is_answered_by_the_lane(owner: APIClient) -> None:
    memory.clear_all()
    assert answered_by(environ(f"{API}/buildinfo")) == "django"
    owner.get(f"{API}/buildinfo")
    assert answered_by(environ(f"{API}/buildinfo")) == "lane"
    assert answered_by(environ(f"{API}/buildinfo", HTTP_ORIGIN="https://a.example")) == "lane"
    assert answered_by(environ(f"{API}/deployment/ssh")) == "django"


def test_lane_answers_with_the_document_of_the_parameters(connected: None) -> None:
    call_command("collect_deployment_stats")
    token = make_key(make_user("owner")).token
    for path, query, by in (
        ("/deployment/stats", "", "lane"),
        ("/deployment/stats", "at=2026-01-01T00:00:00Z", "django"),
        ("/deployment/stats/history", "step=1h", "lane"),
        ("/deployment/stats/history", "step=x", "django"),
    ):
        APIClient(token=token).get(f"{API}{path}?{query}")
        asked = environ(API + path, QUERY_STRING=query, HTTP_CODER_SESSION_TOKEN=token)
        assert answered_by(asked) == by, (path, query)


def test_first_use_of_a_key_is_answered_by_the_lane(
    connected: None, django_assert_num_queries: Any
) -> None:
    user = make_user()
    first, *others = (make_key(user).token for _ in range(3))
    path = f"{API}/deployment/ssh"
    APIClient(token=first).get(path)
    second, third = (environ(path, HTTP_CODER_SESSION_TOKEN=other) for other in others)

    with django_assert_num_queries(1):
        assert answered_by(second) == "lane"
    connection.close()
    assert answered_by(third) == "lane"
    assert connection.connection is None


def test_rejected_key_is_looked_up_once(connected: None, django_assert_num_queries: Any) -> None:
    path, token = f"{API}/deployment/ssh", f"{'a' * 10}-{'b' * 22}"
    with django_assert_num_queries(1):
        assert answered_by(environ(path, HTTP_CODER_SESSION_TOKEN=token)) == "django"
        assert APIClient(token=token).get(path).status_code == 401


def test_error_in_the_lane_is_logged_once_and_left_to_django(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "_logged", set())
    for _ in range(3):
        broken = environ(f"{API}/deployment/ssh", HTTP_COOKIE=object())
        assert answered_by(broken) == "django"
    (record,) = [record for record in caplog.records if record.name == lane.__name__]
    assert record.exc_info
    assert record.exc_info[0] is AttributeError


def test_every_document_of_the_api_is_a_route_of_the_lane() -> None:
    assert set(lane.routes("coderapi.urls")) == {API + path for path in [*DOCUMENTS, REPORTS]}
