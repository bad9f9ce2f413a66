"""Requests to Coder, and the error for each fault of Coder."""

from __future__ import annotations

import pytest

from beside import client
from beside.client import CoderUnavailableError, ask
from tests.support.coder.stand_in import StandInCoder
from tests.support.processes import DEADLINE_SECONDS


@pytest.mark.parametrize("version", ["v2.29.0\0", "v2.29.0\xe9", "\t"])
def test_version_that_no_header_may_contain_is_ignored(coder: StandInCoder, version: str) -> None:
    client.learn_version("v2.28.0", at=0.0)
    coder.build = version
    ask("/api/v2/buildinfo", token="")
    assert client.version() == "v2.28.0"


def test_after_three_requests_without_a_response_coder_is_not_asked_until_it_responds(
    coder: StandInCoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "OPEN_SECONDS", DEADLINE_SECONDS)
    coder.fault = "hang"
    for _ in range(5):
        with pytest.raises(CoderUnavailableError, match=r"respond within 0\.1 seconds"):
            ask("/api/v2/buildinfo", token="", seconds=0.1)
    assert len(coder.seen) == client.MAX_FAILURES
    assert client.is_unavailable()
    coder.fault = ""
    assert ask("/api/v2/experiments", token="").status == 401  # Another path is asked for.
    assert ask("/api/v2/buildinfo", token="", passes_breaker=True).status == 200
    assert not client.is_unavailable()


def test_responses_with_errors_do_not_open_the_breaker(coder: StandInCoder) -> None:
    coder.fault = "500"
    for _ in range(5):
        with pytest.raises(CoderUnavailableError, match="status 500"):
            ask("/api/v2/buildinfo", token="")
    assert len(coder.seen) == 5
    assert not client.is_unavailable()
