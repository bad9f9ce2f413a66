from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stats_rows import Deployment, deployment_at


@pytest.fixture
def deployment(db: None) -> Iterator[Deployment]:
    with deployment_at() as deployment:
        yield deployment
