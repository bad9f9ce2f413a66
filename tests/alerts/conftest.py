from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.servers.local_server import answering
from tests.support.servers.webhook_receiver import Receiver


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_INTERNAL_NETWORKS = ["127.0.0.1/32"]
    with answering(Receiver()) as server:
        yield server
