"""What is not stored: each is answered, and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from csp.models import Report
from tests.support.client import APIClient
from tests.support.csp_reports import PATH, legacy, modern, send

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"nonsense",
        b"NaN",
        b'{"csp-report": {}} trailing',
        b"[" * 100_000,
        b'"text"',
        b"17",
        b"true",
        b"[]",
        b"[1, 2]",
        b'{"csp-report": []}',
        b'{"csp-report": null}',
        b'{"body": 1}',
        b'{"other": {}}',
    ],
)
def test_what_holds_no_report_is_refused(member: APIClient, body: bytes) -> None:
    answer = member.post_json(PATH, body)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert not Report.objects.exists()


@pytest.mark.parametrize("value", [{}, None])
def test_nothing_is_refused_in_the_documented_wire_alone(member: APIClient, value: Any) -> None:
    refused = send(member, value)
    assert refused.status_code == 400
    assert refused.json()["validations"][0]["field"] == "csp-report"
    assert send(member, value, HTTP_CODER_WIRE="coderd").json() == "ok"
    assert not Report.objects.exists()


def test_other_types_alone_are_understood(member: APIClient) -> None:
    assert send(member, [{"type": "deprecation", "body": {}}]).json() == "ok"
    assert not Report.objects.exists()


def counted(verdict: str) -> float:
    return REGISTRY.get_sample_value("coderapi_csp_reports_total", {"verdict": verdict}) or 0


def test_what_is_not_stored_is_counted(member: APIClient) -> None:
    before = counted("other"), counted("invalid")
    send(member, [{"type": "deprecation", "body": {}}, {"type": "csp-hash", "body": {}}, "x"])
    assert (counted("other"), counted("invalid")) == (before[0] + 2, before[1] + 1)


def test_large_single_report_is_refused(member: APIClient) -> None:
    assert send(member, legacy(original_policy="x" * 70_000)).status_code == 413


def test_more_than_a_hundred_reports_are_refused(member: APIClient) -> None:
    assert send(member, [modern()] * 101).status_code == 413


def test_token_is_needed(anonymous: APIClient) -> None:
    answer = send(anonymous, legacy())
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert send(anonymous, legacy(), HTTP_CODER_WIRE="coderd").status_code == 401


def test_wrong_method_is_refused(member: APIClient) -> None:
    answer = member.get(PATH)
    assert answer.status_code == 405
    assert "POST" in answer["Allow"]
