"""Web processes, the worker, database connections and PostgreSQL itself are killed under load."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from django.utils import timezone

from kernel import postgres
from kernel.postgres.cluster import running
from kernel.postgres.place import prepared
from stats.ingest.importing import BATCH_ROWS
from stats.jobs import COLLECT
from tests.coderapi.test_page_samples import token_in
from tests.support.commands import write_lines
from tests.support.live import Server
from tests.support.processes import Program, wait_for
from tests.support.stats_rows import STATS, agent_row

REPORTS = f"{STATS}/reports"
SENDERS = 3
BATCH = 50
ENOUGH = 10


SNAPSHOTS = "SELECT collected_at, row_count, rx_bytes FROM stats_snapshot ORDER BY 1"
UNDER_WAY = "SELECT count(*) FROM jobs_jobrun WHERE job = %s AND finished_at IS NULL"
SUCCEEDED = (
    "SELECT count(*) FROM jobs_jobrun WHERE job = %s AND finished_at > started_at AND error = ''"
)
WITHOUT_RUN = """
SELECT count(*) FROM stats_snapshot
WHERE NOT EXISTS (SELECT FROM jobs_jobrun WHERE job = %s AND started_at = collected_at)
"""
KILLS = 4


def asked(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query, parameters).fetchall()


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that PostgreSQL's own account may enter, too."""
    with tempfile.TemporaryDirectory(prefix="coderapi-killed-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def cluster(directory: Path) -> Iterator[postgres.Handle]:
    handle = postgres.acquire(directory / "data")
    yield handle
    handle.release()


@pytest.fixture
def server(cluster: postgres.Handle, directory: Path) -> Iterator[Server]:
    yield from served(cluster, directory)


@pytest.fixture
def web_server(cluster: postgres.Handle, directory: Path) -> Iterator[Server]:
    """One that takes no snapshots."""
    yield from served(cluster, directory, "--web-only")


def served(cluster: postgres.Handle, directory: Path, *arguments: str) -> Iterator[Server]:
    started = Server(
        *arguments,
        log=directory / "log",
        DATABASE_URL=cluster.url,
        CODERAPI_DATA_DIR=str(directory / "own"),
        CODERAPI_WEB_WORKERS="2",
        CODERAPI_FIRST_OWNER_USERNAME="owner",
        CODER_UPDATE_CHECK="false",
        CODER_API_RATE_LIMIT="-1",
    )
    yield started
    started.kill_all()


def kill_postgres(cluster: postgres.Handle, directory: Path) -> None:
    found = running(prepared(directory / "data").cluster)
    assert found
    os.kill(found.pid, signal.SIGKILL)
    wait_for(lambda: cluster.revive() == "revived")


def command(cluster: postgres.Handle, directory: Path, *arguments: str) -> Program:
    environment = {"DATABASE_URL": cluster.url, "CODERAPI_DATA_DIR": str(directory / "own")}
    log = directory / f"{arguments[0]}-{len(list(directory.iterdir()))}"
    return Program(*arguments, log=log, **environment)


def counted(cluster: postgres.Handle, directory: Path) -> int:
    """How many rows a snapshot of now has; all that a test sends are younger than its window."""
    collecting = command(cluster, directory, "collect_deployment_stats")
    assert collecting.process.wait(90) == 0, collecting.log.read_text()
    return int(collecting.log.read_text().split(" rows, ")[0].split()[-1])


def received(server: Server, token: str) -> int:
    """How many bytes the newest snapshot has: one for each row."""
    answer = server.ask(f"{STATS}", token=token).body
    return int(orjson.loads(answer)["workspaces"]["rx_bytes"])


@dataclass(slots=True)
class Agents:
    """Senders that repeat each request until it is answered with 200, until they are stopped."""

    server: Server
    token: str
    acknowledged: int = 0
    repeated: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Agents:
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stop.is_set():
            now = timezone.now()
            rows = [
                agent_row(
                    now, agent=n, kind="agent", rx_bytes=1, connection_median_latency_ms=n + 1
                )
                for n in range(BATCH)
            ]
            self._send_until_taken(orjson.dumps(rows))

    def _send_until_taken(self, body: bytes) -> None:
        while self._status(body) != 200:
            with self._lock:
                self.repeated += 1
            self._stop.wait(0.05)
        with self._lock:
            self.acknowledged += 1

    def _status(self, body: bytes) -> int:
        with suppress(OSError, HTTPException):
            return self.server.ask(REPORTS, token=self.token, method="POST", body=body).status
        return 0

    def go_on(self) -> None:
        """Returns when some more requests were acknowledged."""
        goal = self.acknowledged + ENOUGH
        wait_for(lambda: self.acknowledged >= goal, seconds=90)


def test_no_row_is_lost_or_doubled_whatever_is_killed(
    server: Server, cluster: postgres.Handle, directory: Path
) -> None:
    assert server.port
    with Agents(server, token_in(directory / "own" / "first-owner.txt")) as agents:
        agents.go_on()
        os.kill(min(server.web_workers()), signal.SIGKILL)
        agents.go_on()
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        agents.go_on()
        before = asked(cluster.url, SNAPSHOTS)
        kill_postgres(cluster, directory)
        agents.go_on()
        wait_for(lambda: len(asked(cluster.url, SNAPSHOTS)) > len(before), seconds=90)
        assert asked(cluster.url, SNAPSHOTS)[: len(before)] == before
    sent = agents.acknowledged * BATCH
    assert agents.repeated
    assert counted(cluster, directory) == received(server, agents.token) == sent


@dataclass(frozen=True, slots=True)
class Collectors:
    """Collectors on one database, one after the other."""

    cluster: postgres.Handle
    directory: Path

    def start(self) -> Program:
        every = ("collect_deployment_stats", "--loop", "--every", "1s")
        return command(self.cluster, self.directory, *every)

    def snapshots(self) -> list[tuple[Any, ...]]:
        return asked(self.cluster.url, SNAPSHOTS)

    def under_way(self) -> bool:
        return asked(self.cluster.url, UNDER_WAY, COLLECT.name) != [(0,)]

    def wait_for_more_than(self, seen: list[tuple[Any, ...]]) -> None:
        wait_for(lambda: len(self.snapshots()) > len(seen), seconds=90)

    def kill_one(self) -> None:
        """Kills one at work, after it has taken a snapshot; none of those before is lost."""
        seen = self.snapshots()
        running = self.start()
        self.wait_for_more_than(seen)
        wait_for(self.under_way, seconds=90)
        running.kill_all()
        assert self.snapshots()[: len(seen)] == seen


def test_a_collector_that_is_killed_at_work_loses_and_doubles_no_snapshot(
    web_server: Server, cluster: postgres.Handle, directory: Path
) -> None:
    collectors = Collectors(cluster, directory)
    assert web_server.port
    with Agents(web_server, token_in(directory / "own" / "first-owner.txt")) as agents:
        for _ in range(KILLS):
            collectors.kill_one()
        agents.go_on()
    seen = collectors.snapshots()
    last = collectors.start()
    collectors.wait_for_more_than(seen)
    assert last.end() == 0, last.log.read_text()
    found = collectors.snapshots()
    assert found[: len(seen)] == seen
    # A run that was killed may have left its snapshot; none was left but by a run, and each by one.
    assert asked(cluster.url, WITHOUT_RUN, COLLECT.name) == [(0,)]
    assert (len(found),) >= asked(cluster.url, SUCCEEDED, COLLECT.name)[0]
    assert not collectors.under_way()
    sent = agents.acknowledged * BATCH
    assert counted(cluster, directory) == received(web_server, agents.token) == sent
    assert found[-1][1:] == (sent, sent)


@pytest.mark.parametrize("victim", ["import", "postgres"])
def test_an_import_that_is_killed_is_run_again(
    cluster: postgres.Handle, directory: Path, victim: str
) -> None:
    now = timezone.now()
    rows = [
        agent_row(now, agent=number % 500, rx_bytes=1, connection_median_latency_ms=1)
        for number in range(12 * BATCH_ROWS)
    ]
    path = write_lines(directory / "rows.jsonl", *rows)
    assert command(cluster, directory, "migrate").process.wait(120) == 0
    importer = command(cluster, directory, "import_agent_stats", path)
    wait_for(lambda: counted(cluster, directory) or importer.process.poll() is not None, seconds=90)
    if victim == "postgres":
        kill_postgres(cluster, directory)
        importer.process.wait(90)
    else:
        importer.kill_all()
    before = counted(cluster, directory)
    assert before % BATCH_ROWS == 0
    again = command(cluster, directory, "import_agent_stats", path)
    assert again.process.wait(90) == 0, again.log.read_text()
    assert f"{before} known already" in again.log.read_text()
    assert counted(cluster, directory) == len(rows)
