"""Real servers: reports while processes and PostgreSQL are killed, and their metrics."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from csp.models import CommittedBatch, Group
from tests.support.commands import as_lines, run, write_lines
from tests.support.csp.load import assert_counts_agree, load, post
from tests.support.csp.reports import legacy, modern
from tests.support.databases.clusters import own_cluster
from tests.support.processes import (
    Program,
    free_port,
    in_database,
    own_database,
    wait_for,
)
from tests.support.servers.live import Server, send


def collecting_at(database: str, directory: Path, **environment: str) -> Server:
    """Returns a server with two web processes and public access for reports."""
    return Server(
        "--web-only",
        log=directory / "log",
        DATABASE_URL=database,
        CODERAPI_SECRET_KEY="only-for-tests-" + "0123456789" * 4,
        CODERAPI_WEB_WORKERS="2",
        CODERAPI_CSP_ALLOWED_SENDERS="public",
        CODER_API_RATE_LIMIT="-1",
        **environment,
    )


@pytest.fixture
def database() -> Iterator[str]:
    with own_database() as url:
        yield url


def test_no_acknowledged_report_is_lost_when_processes_are_killed(
    database: str, tmp_path: Path
) -> None:
    with (
        collecting_at(database, tmp_path) as server,
        load(server.port) as senders,
        psycopg.connect(database, autocommit=True) as watcher,
    ):
        senders.go_on(400)
        for _ in range(2):
            os.kill(min(server.web_workers()), signal.SIGKILL)
            senders.go_on(400)
            watcher.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            senders.go_on(400)
    with psycopg.connect(database) as reader:
        assert_counts_agree(reader, senders)


def test_no_acknowledged_report_is_lost_when_postgresql_is_killed(
    open_directory: Path, migrated_cluster: Path, tmp_path: Path
) -> None:
    with (
        own_cluster(open_directory, like=migrated_cluster) as cluster,
        collecting_at(cluster.url, tmp_path) as server,
    ):
        with load(server.port) as senders:
            for _ in range(2):
                senders.go_on(200)
                cluster.kill()
                cluster.revive()
            senders.go_on(200)
        with psycopg.connect(cluster.url) as reader:
            assert_counts_agree(reader, senders)


@pytest.mark.usefixtures("collecting")
def test_killed_import_continues(tmp_path: Path) -> None:
    database = str(connection.settings_dict["NAME"])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    url = in_database(os.environ["DATABASE_URL"], database)
    with (
        Program("import_csp_reports", str(pipe), log=tmp_path / "log", DATABASE_URL=url) as program,
        pipe.open("wb") as source,
    ):
        source.write(as_lines(*[legacy()] * 1500).encode())
        source.flush()
        wait_for(CommittedBatch.objects.filter(is_imported=True).exists)
        program.end(signal.SIGKILL)
    file = write_lines(tmp_path / "a.jsonl", *[legacy()] * 1600)
    assert run("import_csp_reports", file).startswith("1,600 lines, of which 1,000 had")
    assert Group.objects.get().reports == 1600


BODIES = [
    legacy(),
    legacy(blocked_uri="moz-extension"),
    [modern(), {"type": "deprecation", "body": {}}, "no report"],
]
ROUNDS = 6


def test_metrics_cover_every_process(database: str, tmp_path: Path) -> None:
    port = free_port()
    asked = {"CODER_PROMETHEUS_ENABLE": "true", "CODER_PROMETHEUS_ADDRESS": f"127.0.0.1:{port}"}
    with collecting_at(database, tmp_path, **asked) as server:
        for body in BODIES * ROUNDS:
            assert post(server.port, body) == 200
        wait_for(lambda: samples(port).get("coderapi_csp_batch_reports_sum") == 3 * ROUNDS)
        found = samples(port)
    for outcome, times in (("stored", 2), ("noise", 1), ("other", 1), ("invalid", 1)):
        assert found[f"coderapi_csp_received_reports_total {outcome}"] == times * ROUNDS
    assert found["coderapi_csp_noise_reports_total scheme-moz-extension"] == ROUNDS
    commits = found["coderapi_csp_commit_duration_seconds_count"]
    assert commits == found["coderapi_csp_batch_reports_count"] > 0


def samples(port: int) -> dict[str, float]:
    """Returns the samples without buckets, by name and label values."""
    text = send(port, "/metrics").body.decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
