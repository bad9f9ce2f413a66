"""Bodies without a report, and arbitrary bodies: one answer in JSON, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from csp.models import Report
from tests.support.api.client import APIClient
from tests.support.csp.reports import PATH, legacy, modern, send

# A thread commits the counts of rejected requests.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "body",
    [
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
        b'{"type": "csp-violation", "body": {}}',
        b'[{"body": {}}]',
        b'{"other": {}}',
    ],
)
def test_body_without_a_report_is_400(member: APIClient, body: bytes) -> None:
    answer = member.post_json(PATH, body)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert not Report.objects.exists()


def counted(outcome: str) -> float:
    name = "coderapi_csp_received_reports_total"
    return REGISTRY.get_sample_value(name, {"outcome": outcome}) or 0


@pytest.mark.parametrize(
    ("body", "documented"), [(b"{}", 400), (b"null", 400), (b'{"csp-report": {}}', 200), (b"", 200)]
)
def test_body_without_a_report_is_counted_as_empty_where_it_is_accepted(
    member: APIClient, body: bytes, documented: int
) -> None:
    before = counted("empty")
    answer = member.post_json(PATH, body)
    assert answer.status_code == documented
    if documented == 400:
        assert answer.json()["validations"][0]["field"] == "csp-report"
    assert member.post_json(PATH, body, headers={"Coderapi-Wire-Format": "coderd"}).json() == "ok"
    assert counted("empty") == before + 1 + (documented == 200)
    assert not Report.objects.exists()


def test_other_and_invalid_items_are_counted(member: APIClient) -> None:
    before = counted("other"), counted("invalid")
    found = [{"type": "deprecation", "body": {}}, {"type": "csp-hash", "body": {}}, "x"]
    assert send(member, found).json() == "ok"
    assert not Report.objects.exists()
    assert (counted("other"), counted("invalid")) == (before[0] + 2, before[1] + 1)


def test_large_and_too_many_reports_and_a_wrong_method_are_refused(member: APIClient) -> None:
    for body in (legacy(original_policy="x" * 70_000), [modern()] * 101):
        assert send(member, body).status_code == 413
    answer = member.get(PATH)
    assert answer.status_code == 405
    assert "POST" in answer["Allow"]


def test_token_is_required(anonymous: APIClient) -> None:
    answer = send(anonymous, legacy())
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["message"] == "Send a session token, or an ingest key: ?key=cik_…"
    unknown = APIClient(token="a" * 10 + "-" + "b" * 22)
    assert "signed out" in send(unknown, legacy()).json()["message"]
    assert send(anonymous, legacy(), HTTP_CODERAPI_WIRE_FORMAT="coderd").status_code == 401


# Texts that become longer when secrets are masked, and texts that are too long for any column.
_growing = st.builds(
    lambda unit, times: unit * times,
    st.sampled_from(["a@b.c,", "token=x;", "/@a/b", "a--b--c.", "x", "'nonce-' ", "https://h/"]),
    st.sampled_from([1, 8, 50, 400]),
)
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | _growing,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=10,
)


def _mangled(members: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Generates the members with some values replaced, and others added."""
    known = st.sampled_from(sorted(members))
    some = st.dictionaries(known | st.text(), _values, max_size=4)
    return some.map(lambda changed: members | changed)


def _grown(members: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Generates the members with texts that are or become too long."""
    return _growing.map(lambda text: dict.fromkeys(members, text))


_legacy = _mangled(legacy()["csp-report"]).map(lambda body: {"csp-report": body})
_modern = _mangled(modern()["body"]).flatmap(lambda body: _mangled(modern() | {"body": body}))
_too_long = _grown(modern()["body"]).map(lambda body: [modern(), modern() | {"body": body}])
_bodies = st.one_of(
    st.binary(max_size=200),
    st.one_of(_values, _legacy, _modern, _too_long, st.lists(_modern | _values, max_size=4)).map(
        lambda value: json.dumps(value).encode()
    ),
)


# The examples share one database.
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("collecting")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_bodies)
def test_anything_is_answered_in_json(member: APIClient, body: bytes) -> None:
    answer = member.post_json(PATH, body)
    assert answer.status_code in {200, 400, 413}
    assert answer["Content-Type"].startswith("application/json")
    assert answer.json() == "ok" or answer.json()["message"]
