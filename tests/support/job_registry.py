"""A registry of jobs for tests that register their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jobs import registry


@contextmanager
def empty_registry() -> Iterator[None]:
    """Within it there are only the jobs that are registered within it."""
    kept = dict(registry._jobs)
    registry._jobs.clear()
    try:
        yield
    finally:
        registry._jobs.clear()
        registry._jobs.update(kept)
