"""Reads many rows: by one request at a time, within a deadline, and from one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from kernel.db.connections import deadline
from kernel.db.sql import execute
from kernel.limiter import Limiter
from kernel.memory import CachedValue, Memory

READ_SECONDS = 3.0
# In SQL, the origin of a stored URL; for a URL without a host, its scheme.
ORIGIN = "substring({0} FROM '^[^/]*(?://[^/]*)?')"
# One reader in each process, because the API and the writer need connections, too.
READERS = Limiter(
    "readers of CSP reports",
    limit=1,
    timeout=2.0,
    queue=16,
    full="Too many requests read CSP reports. Try again in a few seconds.",
)


@contextmanager
def bounded_read() -> Iterator[None]:
    """Lets one thread of this process read at a time, and limits the time of its statements.

    Raises: LimitReachedError, OperationalError.
    """
    with READERS.hold(), deadline(READ_SECONDS):
        yield


def read_once[K: Hashable, V](memory: Memory[K, V], key: K, read: Callable[[], V]) -> V:
    """Returns the cached value, or reads it under the limits of `bounded_read`."""
    found = memory.get(key)
    if found is None:
        with bounded_read():
            found = memory.load(key, lambda: CachedValue(read()))
    return found


@contextmanager
def snapshot() -> Iterator[None]:
    """Lets all queries of the block see the same data, so that their numbers fit together.

    If a transaction is open already, its isolation level applies.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
