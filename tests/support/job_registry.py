"""A job registry for tests that register their own jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobs import registry


@contextmanager
def empty_registry() -> Iterator[None]:
    """Removes all registered jobs until the end of the block."""
    registered = {job.name: job for job in registry.all_jobs()}
    registry._jobs.clear()
    try:
        yield
    finally:
        registry._jobs.clear()
        registry._jobs.update(registered)
