"""Real servers: reports while processes and PostgreSQL are killed, and their metrics."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from csp.models import CommittedBatch, Group
from tests.support.commands import as_lines, run, write_lines
from tests.support.concurrency import Senders
from tests.support.csp.reports import PATH, as_bytes, legacy, modern
from tests.support.databases.clusters import own_cluster
from tests.support.databases.tables import END_OTHERS, query
from tests.support.processes import Program, free_port, in_database, wait_for
from tests.support.servers.live import Server, own_server, send

COLLECTING = {
    "CODERAPI_SECRET_KEY": "only-for-tests-" + "0123456789" * 4,
    "CODERAPI_WEB_WORKERS": "2",
    "CODERAPI_CSP_ALLOWED_SENDERS": "public",
    "CODER_API_RATE_LIMIT": "-1",
}
SENDERS = 8
# The number of reports of a group in an hour that are all stored as rows.
STORED_PER_HOUR = 1_000
COUNTS = """
SELECT (SELECT count(*) FROM csp_report), (SELECT sum(reports) FROM csp_group),
    sum(reports), max(reports) FROM csp_grouphour
"""


@contextmanager
def sending(server: Server) -> Iterator[Senders]:
    """Sends reports in threads until the block ends, each of a host of its own.

    Then no acknowledged report is lost or counted twice, and all counts agree. A report whose
    answer was lost may be stored too, so counts may be larger, up to the number of sent reports.
    After the thousandth report of a group in an hour, rows are a sample.
    """

    def send_report(number: int) -> bool:
        with suppress(OSError, HTTPException):
            report = legacy(blocked_uri=f"https://host{number}.example.net/")
            return post(server.port, report) == 200
        return False

    with Senders(SENDERS, send_report) as senders:
        yield senders
    [(rows, groups, hours, most)] = query(server.database, COUNTS)
    assert groups == hours
    assert senders.acknowledged <= groups <= senders.sent
    assert rows == groups or most > STORED_PER_HOUR
    assert rows <= groups


def post(port: int, report: object) -> int:
    """Returns the status of the answer to a report."""
    return send(port, PATH, method="POST", body=as_bytes(report)).status


def test_no_acknowledged_report_is_lost_when_processes_are_killed(
    open_directory: Path, migrated_cluster: Path, tmp_path: Path
) -> None:
    """A web process, all connections and PostgreSQL."""
    with (
        own_cluster(open_directory, like=migrated_cluster) as cluster,
        Server(
            "--web-only", log=tmp_path / "log", DATABASE_URL=cluster.url, **COLLECTING
        ) as server,
        sending(server) as senders,
    ):
        for _ in range(2):
            senders.go_on(400)
            os.kill(min(server.web_workers()), signal.SIGKILL)
            senders.go_on(400)
            query(cluster.url, END_OTHERS)
            senders.go_on(400)
            cluster.kill()
            cluster.revive()
        senders.go_on(400)


def test_server_that_ends_writes_its_counts(tmp_path: Path) -> None:
    with own_server("--web-only", log=tmp_path / "log", **COLLECTING) as server:
        assert post(server.port, "no report") == 400
        server.end()
        assert query(server.database, "SELECT requests FROM csp_rejection") == [(1,)]


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


def test_metrics_cover_every_process(tmp_path: Path) -> None:
    port = free_port()
    asked = {"CODER_PROMETHEUS_ENABLE": "true", "CODER_PROMETHEUS_ADDRESS": f"127.0.0.1:{port}"}
    with own_server("--web-only", log=tmp_path / "log", **COLLECTING, **asked) as server:
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
