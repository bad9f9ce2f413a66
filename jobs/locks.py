"""A job's advisory lock: it keeps two runs apart, and tells whether a run's process still lives.

It is a courtesy and no fence, since it goes with its connection; the fence is the row of the slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kernel.db.connections import connect_directly, lock_number


@contextmanager
def job_lock(name: str) -> Iterator[bool]:
    """Whether this process has the lock of the job, until the end of the block."""
    with connect_directly() as connection:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s)", [lock_number(f"jobs.{name}")]
        ).fetchone()
        yield bool(row and row[0])
