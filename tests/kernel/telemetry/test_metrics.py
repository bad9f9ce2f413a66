"""Metrics: their values, their documentation, and how they are served."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY
from prometheus_client.core import Metric

from coderapi import __version__
from coderapi.server import prometheus
from coderapi.server.children import TITLE
from jobs.models import JobRun
from jobs.registry import Job
from jobs.services import run_job
from kernel import telemetry
from kernel.db.backend.base import connections
from kernel.http.metrics import LAG, LAG_SECONDS, measure_lag, pool_stats, waiting_requests
from kernel.telemetry import DIRECTORY_VARIABLE, metrics
from tests.support.commands import execute
from tests.support.factories import make_user
from tests.support.processes import DEADLINE_SECONDS, PROJECT, free_port, wait_for
from tests.support.servers.front import answered, request_to, site
from tests.support.servers.live import own_server, send
from tests.support.stats_rows import gauges

PRUNE = "prune_job_runs"
DOCUMENT = PROJECT / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\|", re.MULTILINE)


def sampled_value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


requests = partial(sampled_value, "coderapi_http_requests_total")


@pytest.mark.django_db(transaction=True)
def test_requests_are_counted_by_operation_method_status_and_wire() -> None:
    front, stop = site(get_wsgi_application(), counts=True)
    with ExitStack() as stack:
        stack.callback(stop)
        for method, path, operation, status in (
            ("GET", "/api/v2/buildinfo", "build-info", "200"),
            ("GET", "/api/v2/users/me/keys/tokens/tokenconfig", "get-token-config", "401"),
            ("GET", "/healthz", "healthz", "200"),
            ("GET", "/admin/", "admin", "302"),
            ("GET", "/swagger", "SwaggerView", "404"),
            # Clients cannot create labels.
            ("GET", "/no/such/page", "unknown", "404"),
            ("BREW", "/api/v2/buildinfo", "build-info", "405"),
        ):
            counted = {"BREW": "other"}.get(method, method)
            labels = {"operation": operation, "method": counted, "status": status}
            before = requests(**labels, wire_format="coderd")
            headers = {"Coderapi-Wire-Format": "coderd"}
            answered(front, request_to(path, method=method, headers=headers))
            assert requests(**labels, wire_format="coderd") == before + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("error", "outcome"), [(None, "ok"), (ValueError("no"), "failed")])
def test_job_runs_are_counted_by_outcome(error: Exception | None, outcome: str) -> None:
    def run(now: Any) -> int:
        if error:
            raise error
        return 1

    labels = {"job_name": "counted", "outcome": outcome}
    before = sampled_value("coderapi_job_runs_total", **labels)
    run_job(Job(name="counted", every=timedelta(days=1), run=run), timezone.now())
    assert sampled_value("coderapi_job_runs_total", **labels) == before + 1


@pytest.mark.django_db
def test_database_gauges_are_read_from_the_database() -> None:
    now = timezone.now()
    make_user()
    make_user(status="suspended")
    JobRun.objects.create(
        job_name=PRUNE, scheduled_at=now, started_at=now, finished_at=now, error="x", process="h"
    )
    found = gauges()
    assert found["coderapi_database_up",] == 1
    assert found["coderapi_users", "active"] == 1
    assert found["coderapi_users", "suspended"] == 1
    assert found["coderapi_job_failing", PRUNE] == 1
    assert ("coderapi_stats_snapshot_age_seconds",) not in found


@pytest.mark.django_db
def test_scrape_costs_a_bounded_number_of_queries(django_assert_max_num_queries: Any) -> None:
    metrics.discover()
    figures = metrics.DatabaseGauges()
    with django_assert_max_num_queries(16):
        list(figures.collect())
        list(figures.collect())


def declared() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yields name, type and labels of each of our metrics."""
    metrics.discover()
    import_module("beside.identity")  # A server that asks Coder imports it.
    assert LAG in REGISTRY._collector_to_names
    for collector in list(REGISTRY._collector_to_names):
        for family in collector.describe() if hasattr(collector, "describe") else []:
            if family.name.startswith("coderapi_"):
                yield _shown_name(family), family.type, tuple(collector._labelnames)  # type: ignore[attr-defined]
    for figure in metrics.DATABASE_GAUGES:
        yield figure.name, "gauge", figure.labels
    yield "coderapi_database_up", "gauge", ()
    for read in prometheus.ThisServer(os.getpid()).collect():
        yield _shown_name(read), read.type, tuple(read.samples[0].labels)


def _shown_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def test_every_metric_is_documented_and_no_label_is_reserved_by_prometheus() -> None:
    rows = {
        (name, kind, tuple(re.findall(r"\w+", labels)))
        for name, kind, labels in ROW.findall(DOCUMENT.read_text())
    }
    assert rows == set(declared())
    assert not {"job", "instance"} & {label for _, _, labels in rows for label in labels}


def test_directories_of_killed_servers_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, lives, foreign = (
        tmp_path / f"{telemetry.DIRECTORY_PREFIX}{name}"
        for name in (f"{ended.pid}-x", f"{os.getpid()}-x", "nonsense")
    )
    for directory in (left, lives, foreign):
        directory.mkdir()
    with telemetry.shared_directory() as mine:
        assert (mine.is_dir(), left.exists()) == (True, False)
    assert [path.is_dir() for path in (mine, lives, foreign)] == [False, True, True]


def connect_and_close() -> None:
    connection.ensure_connection()
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_requests_that_wait_for_a_connection_are_counted() -> None:
    connection.ensure_connection()
    limiter = connections()
    limit = pool_stats()["pool_max"]
    with ExitStack() as busy, ThreadPoolExecutor(1) as thread:
        for _ in range(limit - 1):
            busy.enter_context(limiter.hold())
        assert waiting_requests()[()] == 0
        request = thread.submit(connect_and_close)
        wait_for(lambda: waiting_requests()[()] == 1)
        connection.close()
        request.result()


def test_server_serves_the_counts_of_all_its_processes(tmp_path: Path) -> None:
    port = free_port()
    settings = {"CODER_PROMETHEUS_ENABLE": "true", "CODERAPI_WEB_WORKERS": "2"}
    settings |= {"CODER_PROMETHEUS_ADDRESS": f"127.0.0.1:{port}", "TMPDIR": str(tmp_path)}
    with own_server("--web-only", log=tmp_path / "log", **settings) as server:
        wait_for(lambda: 'coderapi_listener_connected{role="web"} 1.0' in scraped(port))
        before = builds(scraped(port))
        for _ in range(10):
            assert server.get("/api/v2/buildinfo") == 200
        assert builds(scraped(port)) == before + 10
        text = scraped(port)
        assert "coderapi_database_up 1.0" in text
        assert f'version="{__version__}"' in of(text, "coderapi_build_info")[0]
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds"):
            roles = [re.findall(r'role="(\w+)"', line)[0] for line in of(text, f"process_{name}")]
            assert sorted(roles) == ["metrics", "supervisor", "web", "web"]
        assert {f'pid="{pid}"' for pid in server.web_workers()} <= set(
            re.findall(r'pid="\d+"', text)
        )
        server.end(signal.SIGTERM)
        assert not list(tmp_path.glob(f"{telemetry.DIRECTORY_PREFIX}*"))
    if promtool := shutil.which("promtool"):
        # It also checks the names by Prometheus' rules.
        checked = execute([promtool, "check", "metrics"], typed=text)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_child_that_vanishes_hides_no_other(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    # The first child ended before its title was read, the second after that, and two live.
    titles = {gone.pid: "early", os.getpid(): "web", os.getppid(): "worker"}
    children = tmp_path / "1/task/1/children"
    children.parent.mkdir(parents=True)
    children.write_text(f"2 {' '.join(map(str, titles))}")
    for pid, role in titles.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / f"{pid}/cmdline").write_text(f"{TITLE}{role}\0")
    read = {each.name: each for each in prometheus.ThisServer(1, tmp_path).collect()}
    samples = read["process_resident_memory_bytes"].samples
    found = {int(each.labels["pid"]): each.labels["role"] for each in samples}
    assert found == {1: "supervisor", os.getpid(): "web", os.getppid(): "worker"}


def scraped(port: int) -> str:
    """Returns the metrics that are served, or "" before the server listens."""
    with suppress(OSError):
        return send(port, "/metrics").body.decode()
    return ""


def of(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}{{.*$", text, re.MULTILINE)


def builds(text: str) -> float:
    found = re.search(
        r'^coderapi_http_requests_total{[^}]*"build-info"[^}]*} (\S+)$', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


BLOCKED_SECONDS = 100.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward, as if a function had taken that long."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.fixture
def loop() -> Iterator[Loop]:
    found = Loop()
    yield found
    found.close()


def sampled() -> tuple[float, float]:
    """Returns the number of samples, and their sum."""
    [metric] = LAG.collect()
    values = {sample.name: sample.value for sample in metric.samples}
    return values[f"{metric.name}_count"], values[f"{metric.name}_sum"]


async def after_samples(count: int) -> None:
    before = sampled()[0]
    async with asyncio.timeout(DEADLINE_SECONDS + BLOCKED_SECONDS):
        while sampled()[0] < before + count:
            await asyncio.sleep(0.001)


def test_samples_are_counted_and_a_blocked_loop_is_seen(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, "/nonexistent")

    async def measured() -> float:
        measuring = asyncio.create_task(measure_lag())
        await after_samples(3)
        before = sampled()[1]
        loop.ahead += BLOCKED_SECONDS
        await after_samples(1)
        measuring.cancel()
        return sampled()[1] - before

    assert loop.run_until_complete(measured()) >= BLOCKED_SECONDS - LAG_SECONDS


def test_nothing_is_sampled_without_metrics(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)
    before = sampled()
    loop.run_until_complete(measure_lag())
    assert sampled() == before
