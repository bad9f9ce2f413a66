"""Limits reads of many rows, which operators may start as often as they like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kernel.db.connections import deadline
from kernel.limiter import Limiter

READ_SECONDS = 2.0
# One reader in each process, because the API and the writer need connections, too.
READERS = Limiter(
    "readers of CSP reports",
    limit=1,
    timeout=2.0,
    queue=4,
    full="Too many requests read CSP reports. Try again in a few seconds.",
)


@contextmanager
def bounded_read() -> Iterator[None]:
    """Lets one thread of this process read at a time, and limits the time of its statements.

    Raises: LimitReachedError, OperationalError.
    """
    with READERS.hold(), deadline(READ_SECONDS):
        yield
