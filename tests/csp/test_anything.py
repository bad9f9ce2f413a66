"""Whatever is sent, as bytes, as JSON, or as something like a report: one answer, never a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import APIClient
from tests.support.csp_reports import PATH, fresh_writer, legacy, modern

pytestmark = pytest.mark.django_db(transaction=True)

# Texts that are longer once they are masked, and those that fill any column.
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
    """The members with some of their values exchanged for anything, and others added."""
    known = st.sampled_from(sorted(members))
    some = st.dictionaries(known | st.text(), _values, max_size=4)
    return some.map(lambda changed: members | changed)


def _grown(members: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The members with a text for each that is too long, or becomes so."""
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


@pytest.fixture(autouse=True)
def _writer(transactional_db: None) -> Iterator[None]:
    with fresh_writer():
        yield


# Every example is one more request to the same service, which keeps what the others sent.
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=_bodies)
def test_anything_is_answered_in_json(member: APIClient, body: bytes) -> None:
    answer = member.post_json(PATH, body)
    assert answer.status_code in {200, 400, 413}
    assert answer["Content-Type"].startswith("application/json")
    assert answer.json() == "ok" or answer.json()["message"]
