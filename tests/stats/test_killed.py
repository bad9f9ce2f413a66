"""Kills of web processes, collectors, imports, connections and PostgreSQL under load."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.utils import timezone

from stats.ingest.importing import BATCH_ROWS
from stats.jobs import COLLECT
from tests.support.commands import write_lines
from tests.support.concurrency import Senders
from tests.support.databases.clusters import OwnCluster, own_cluster
from tests.support.databases.tables import END_OTHERS, query
from tests.support.processes import HANG_SECONDS, Program, wait_for
from tests.support.servers.live import Server
from tests.support.stats_rows import STATS, agent_row

REPORTS = "/api/coderapi/v1/stats/agent-rows"
SENDERS = 3
BATCH = 50
MORE_REQUESTS = 10
KILLS = 2

SNAPSHOTS = "SELECT collected_at, row_count, rx_bytes FROM stats_snapshot ORDER BY 1"
RUNNING = "SELECT count(*) FROM jobs_jobrun WHERE job_name = %s AND finished_at IS NULL"
SUCCEEDED = (
    "SELECT count(*) FROM jobs_jobrun "
    "WHERE job_name = %s AND finished_at > started_at AND error = ''"
)
STORED = "SELECT EXISTS (SELECT FROM stats_agentstat)"
WITHOUT_RUN = """
SELECT count(*) FROM stats_snapshot
WHERE NOT EXISTS (SELECT FROM jobs_jobrun WHERE job_name = %s AND started_at = collected_at)
"""


@pytest.fixture
def cluster(open_directory: Path, migrated_cluster: Path) -> Iterator[OwnCluster]:
    with own_cluster(open_directory / "data", like=migrated_cluster) as cluster:
        yield cluster


@pytest.fixture
def server(cluster: OwnCluster, open_directory: Path) -> Iterator[Server]:
    with serving(cluster, open_directory) as server:
        yield server


@pytest.fixture
def web_server(cluster: OwnCluster, open_directory: Path) -> Iterator[Server]:
    """Starts a server that takes no snapshots."""
    with serving(cluster, open_directory, "--web-only") as server:
        yield server


def serving(cluster: OwnCluster, open_directory: Path, *arguments: str) -> Server:
    return Server(
        *arguments,
        log=open_directory / "log",
        DATABASE_URL=cluster.url,
        CODERAPI_DATA_DIR=str(open_directory / "own"),
        CODERAPI_WEB_WORKERS="2",
        CODERAPI_FIRST_OWNER_USERNAME="owner",
        CODER_UPDATE_CHECK="false",
        CODER_API_RATE_LIMIT="-1",
    )


def command(cluster: OwnCluster, open_directory: Path, *arguments: str) -> Program:
    environment = {
        "DATABASE_URL": cluster.url,
        "CODERAPI_DATA_DIR": str(open_directory / "own"),
        "CODER_AGENT_STATS_REFRESH_INTERVAL": "1s",
    }
    log = open_directory / f"{arguments[0]}-{len(list(open_directory.iterdir()))}"
    return Program(*arguments, log=log, **environment)


def counted(cluster: OwnCluster, open_directory: Path) -> int:
    """Takes a snapshot. Returns its number of rows, which are all rows of the test."""
    collecting = command(cluster, open_directory, "collect_deployment_stats")
    assert collecting.process.wait(HANG_SECONDS) == 0, collecting.log.read_text()
    return int(collecting.log.read_text().split(" rows, ")[0].split()[-1].replace(",", ""))


def received(server: Server, token: str) -> int:
    """Returns the bytes of the newest snapshot: one for each row."""
    answer = server.ask(f"{STATS}", token=token).body
    return int(orjson.loads(answer)["workspaces"]["rx_bytes"])


class Agents(Senders):
    """Sends requests in threads, each request until it is answered with 200."""

    def __init__(self, server: Server, token: str) -> None:
        super().__init__(SENDERS, self._send_rows)
        self.server, self.token, self.repeated = server, token, 0

    def _send_rows(self, _: int) -> bool:
        now = timezone.now()
        rows = [
            agent_row(now, agent=n, kind="agent", rx_bytes=1, connection_median_latency_ms=n + 1)
            for n in range(BATCH)
        ]
        body = orjson.dumps(rows)
        while self._status(body) != 200:
            with self.lock:
                self.repeated += 1
            self.stopped.wait(0.05)
        return True

    def _status(self, body: bytes) -> int:
        with suppress(OSError, HTTPException):
            return self.server.ask(REPORTS, token=self.token, method="POST", body=body).status
        return 0


def test_kills_lose_and_duplicate_no_row(
    server: Server, cluster: OwnCluster, open_directory: Path
) -> None:
    with Agents(server, server.owner_token) as agents:
        agents.go_on(MORE_REQUESTS)
        os.kill(min(server.web_workers()), signal.SIGKILL)
        agents.go_on(MORE_REQUESTS)
        query(cluster.url, END_OTHERS)
        agents.go_on(MORE_REQUESTS)
        before = query(cluster.url, SNAPSHOTS)
        cluster.kill()
        cluster.revive()
        agents.go_on(MORE_REQUESTS)
        wait_for(lambda: len(query(cluster.url, SNAPSHOTS)) > len(before), seconds=HANG_SECONDS)
        assert query(cluster.url, SNAPSHOTS)[: len(before)] == before
    sent = agents.acknowledged * BATCH
    assert agents.repeated
    assert counted(cluster, open_directory) == received(server, agents.token) == sent


@dataclass(frozen=True, slots=True)
class Collectors:
    """Runs one collector after another on a database."""

    cluster: OwnCluster
    open_directory: Path

    def start(self) -> Program:
        return command(self.cluster, self.open_directory, "worker")

    def snapshots(self) -> list[tuple[Any, ...]]:
        return query(self.cluster.url, SNAPSHOTS)

    def is_running(self) -> bool:
        return query(self.cluster.url, RUNNING, COLLECT.name) != [(0,)]

    def wait_for_more_than(self, before: list[tuple[Any, ...]]) -> None:
        wait_for(lambda: len(self.snapshots()) > len(before), seconds=HANG_SECONDS)

    def kill_one(self) -> None:
        """Kills a running collector after its first snapshot. Earlier snapshots must stay."""
        before = self.snapshots()
        collector = self.start()
        self.wait_for_more_than(before)
        wait_for(self.is_running, seconds=HANG_SECONDS)
        collector.kill_all()
        assert self.snapshots()[: len(before)] == before


def test_killing_a_collector_loses_and_duplicates_no_snapshot(
    web_server: Server, cluster: OwnCluster, open_directory: Path
) -> None:
    collectors = Collectors(cluster, open_directory)
    with Agents(web_server, web_server.owner_token) as agents:
        for _ in range(KILLS):
            collectors.kill_one()
        agents.go_on(MORE_REQUESTS)
    before = collectors.snapshots()
    last = collectors.start()
    collectors.wait_for_more_than(before)
    assert last.end() == 0, last.log.read_text()
    snapshots = collectors.snapshots()
    assert snapshots[: len(before)] == before
    # Each snapshot has a run. A killed run may have a snapshot, so there may be more snapshots.
    assert query(cluster.url, WITHOUT_RUN, COLLECT.name) == [(0,)]
    assert (len(snapshots),) >= query(cluster.url, SUCCEEDED, COLLECT.name)[0]
    assert not collectors.is_running()
    sent = agents.acknowledged * BATCH
    assert counted(cluster, open_directory) == received(web_server, agents.token) == sent
    assert snapshots[-1][1:] == (sent, sent)


@pytest.mark.parametrize("victim", ["import", "postgres"])
def test_a_killed_import_can_be_run_again(
    cluster: OwnCluster, open_directory: Path, victim: str
) -> None:
    now = timezone.now()
    rows = [
        agent_row(now, agent=number % 500, rx_bytes=1, connection_median_latency_ms=1)
        for number in range(4 * BATCH_ROWS)
    ]
    path = write_lines(open_directory / "rows.jsonl", *rows)
    importer = command(cluster, open_directory, "import_agent_stats", path)
    wait_for(lambda: query(cluster.url, STORED) != [(False,)], seconds=HANG_SECONDS)
    if victim == "postgres":
        cluster.kill()
        cluster.revive()
        importer.process.wait(HANG_SECONDS)
    else:
        importer.kill_all()
    before = counted(cluster, open_directory)
    assert before % BATCH_ROWS == 0
    again = command(cluster, open_directory, "import_agent_stats", path)
    assert again.process.wait(HANG_SECONDS) == 0, again.log.read_text()
    assert f"{before:,} duplicates" in again.log.read_text()
    assert counted(cluster, open_directory) == len(rows)
