"""Requests to Coder, and the error for each fault of Coder."""

from __future__ import annotations

import pytest

from beside import client
from beside.client import CoderAwayError, ask
from tests.support.stand_in_coder import Key, Person, StandInCoder


def test_answer_is_the_json_of_coder(coder: StandInCoder) -> None:
    key = coder.add(Key(Person("ada", roles=("owner",))))
    assert ask("/api/v2/users/me", token=key.token).value["username"] == "ada"
    assert ask("/api/v2/users/me", token="wrong").status == 401


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("500", "status 500"), ("html", "not JSON"), ("redirect", "status 302"), ("hang", "respond")],
)
def test_faults_of_coder_are_one_error(coder: StandInCoder, fault: str, reason: str) -> None:
    coder.fault = fault
    with pytest.raises(CoderAwayError, match=reason):
        ask("/api/v2/buildinfo", token="", seconds=0.2)


@pytest.mark.parametrize("version", ["v2.29.0\0", "v2.29.0\xe9", "\t"])
def test_version_that_no_header_may_contain_is_ignored(
    coder: StandInCoder, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_version", "v2.28.0")
    coder.build = version
    ask("/api/v2/buildinfo", token="")
    assert client.version() == "v2.28.0"


def test_after_three_failures_coder_is_not_asked_again(coder: StandInCoder) -> None:
    coder.fault = "500"
    for _ in range(5):
        with pytest.raises(CoderAwayError, match="status 500"):
            ask("/api/v2/buildinfo", token="")
    assert len(coder.seen) == client.MAX_FAILURES


def test_a_response_closes_the_breaker(
    coder: StandInCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "OPEN_SECONDS", 0.0)
    coder.fault = "500"
    for _ in range(3):
        with pytest.raises(CoderAwayError):
            ask("/api/v2/buildinfo", token="")
    coder.fault = ""
    assert ask("/api/v2/buildinfo", token="").status == 200
    assert not client.BREAKER.is_open
