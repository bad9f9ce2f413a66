from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from beside.configuration import documents
from tests.support.coder.releases import RELEASES, Release
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.processes import DEADLINE_SECONDS


@pytest.fixture(params=RELEASES, ids=str)
def release(request: pytest.FixtureRequest) -> Release:
    """Runs the test beside each release of Coder.

    `@pytest.mark.parametrize("release", [V2_34], ids=str)` runs a test beside one of them.
    """
    found: Release = request.param
    return found


@pytest.fixture
def coder(
    settings: Any, monkeypatch: pytest.MonkeyPatch, release: Release
) -> Iterator[StandInCoder]:
    """Runs a Coder deployment. The settings contain its URL, and a token of an owner."""
    # On a busy machine, the stand-in needs longer than Coder may.
    monkeypatch.setattr(documents, "SECONDS", DEADLINE_SECONDS)
    with StandInCoder(release) as stand_in:
        settings.CODER_URL = stand_in.url
        service = Key(Person("service", roles=("owner",)), name="coderapi")
        settings.CODER_TOKEN = stand_in.add(service).token
        yield stand_in


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the monotonic clock forward by these seconds."""

    def move(seconds: float) -> None:
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: clock() + seconds)

    return move


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops the monotonic clock, so that only `later` moves it. An event loop would not end."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
