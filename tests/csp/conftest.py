from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.csp_reports import fresh_writer


@pytest.fixture
def collecting(transactional_db: None) -> Iterator[None]:
    """A service that takes reports, whose writer ends before the test's rows are taken away."""
    with fresh_writer():
        yield
