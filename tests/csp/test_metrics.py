"""What is counted of reports, as Prometheus sees it: of all processes together."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.csp_reports import PATH, legacy, modern
from tests.support.live import Server
from tests.support.processes import free_port, own_database, wait_for

BODIES = [
    legacy(),
    legacy(blocked_uri="moz-extension"),
    [modern(), {"type": "deprecation", "body": {}}, "no report"],
]
ROUNDS = 6


def test_verdicts_rules_and_batches_of_every_process_are_served(tmp_path: Path) -> None:
    port = free_port()
    with (
        own_database() as database,
        Server(
            "--web-only",
            log=tmp_path / "log",
            DATABASE_URL=database,
            CODERAPI_WEB_WORKERS="2",
            CODERAPI_CSP_ACCESS="public",
            CODER_PROMETHEUS_ENABLE="true",
            CODER_PROMETHEUS_ADDRESS=f"127.0.0.1:{port}",
        ) as server,
    ):
        for body in BODIES * ROUNDS:
            assert post(server.port, json.dumps(body)) == 200
        wait_for(lambda: samples(port).get("coderapi_csp_batch_size_sum") == 3 * ROUNDS)
        found = samples(port)
    assert {verdict: found[f"coderapi_csp_reports_total {verdict}"] for verdict in VERDICTS} == {
        "stored": 2 * ROUNDS,
        "noise": ROUNDS,
        "other": ROUNDS,
        "invalid": ROUNDS,
    }
    assert found["coderapi_csp_noise_total scheme-moz-extension"] == ROUNDS
    assert found["coderapi_csp_commit_seconds_count"] == found["coderapi_csp_batch_size_count"] > 0


VERDICTS = ("stored", "noise", "other", "invalid")


def post(port: int, body: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", PATH, body)
        return connection.getresponse().status
    finally:
        connection.close()


def samples(port: int) -> dict[str, float]:
    """The samples without buckets, by name and the values of their labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
