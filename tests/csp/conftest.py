from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.csp.reports import fresh_writer


@pytest.fixture
def collecting(transactional_db: None) -> Iterator[None]:
    """Collects reports, and stops the writer before the rows of the test are deleted."""
    with fresh_writer():
        yield
