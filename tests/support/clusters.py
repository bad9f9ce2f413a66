"""A private PostgreSQL of a test's own, which it may stop or kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel import postgres
from kernel.postgres.cluster import running
from kernel.postgres.place import prepared
from tests.support.processes import wait_for


@dataclass(frozen=True, slots=True)
class OwnCluster:
    directory: Path
    handle: postgres.Handle

    @property
    def url(self) -> str:
        return self.handle.url

    def kill(self) -> None:
        """Ends PostgreSQL, which can write nothing more then."""
        cluster = prepared(self.directory).cluster
        found = running(cluster)
        assert found
        os.kill(found.pid, signal.SIGKILL)
        wait_for(lambda: running(cluster) is None)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops every process of PostgreSQL in its tracks for as long as the block lasts."""
        found = running(prepared(self.directory).cluster)
        assert found
        children = Path(f"/proc/{found.pid}/task/{found.pid}/children").read_text().split()
        pids = [found.pid, *map(int, children)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def revive(self) -> None:
        wait_for(lambda: self.handle.revive() == "revived")


@contextmanager
def own_cluster(directory: Path, *, durable: bool = True) -> Iterator[OwnCluster]:
    handle = postgres.acquire(directory, durable=durable)
    try:
        yield OwnCluster(directory, handle)
    finally:
        handle.release()
