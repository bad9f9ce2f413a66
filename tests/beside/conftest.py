from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from beside import client, configuration
from beside.client import Breaker
from tests.support.processes import DEADLINE_SECONDS
from tests.support.stand_in_coder import Key, Person, StandInCoder


@pytest.fixture
def coder(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInCoder]:
    """Runs a Coder deployment. The settings contain its URL, and a token of an owner."""
    monkeypatch.setattr(client, "BREAKER", Breaker())
    # On a busy machine, the stand-in needs longer than Coder may.
    for module in (client, configuration):
        monkeypatch.setattr(module, "SECONDS", DEADLINE_SECONDS)
    with StandInCoder() as stand_in:
        settings.CODER_URL = stand_in.url
        settings.CODER_TOKEN = stand_in.add(Key(Person("service", roles=("owner",)))).token
        yield stand_in
