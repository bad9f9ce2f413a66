from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.csp.reports import fresh_writer
from tests.support.servers.local_server import answering
from tests.support.servers.webhook_receiver import Receiver


@pytest.fixture
def collecting(transactional_db: None) -> Iterator[None]:
    """Collects reports, and stops the writer before the rows of the test are deleted."""
    with fresh_writer():
        yield


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.WEBHOOK_INTERNAL_NETWORKS = ["127.0.0.1/32"]
    with answering(Receiver()) as server:
        yield server
