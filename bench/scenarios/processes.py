"""The processes: their start, stop and memory, a server after many requests, and telemetry."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import requests
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, wrk
from bench.scenarios.base import READERS, SSH, Batches, Bench, load
from bench.service import (
    MARK,
    STOP_SECONDS,
    Service,
    beside,
    free_port,
    memory_of,
    process,
    run_program,
    running,
    server_environment,
)

SETUP = "import django; django.setup(); import coderapi.urls"
IDLE_SECONDS = 2
MIXED = [
    "/api/v2/buildinfo",
    SSH,
    "/api/v2/deployment/config",
    "/api/v2/experiments",
    "/api/v2/deployment/stats",
    "/api/v2/users/me/keys/tokens/tokenconfig",
    "/api/v2/users/me",
    "/api/v2/users/me/keys/tokens",
    "/api/v2/users?limit=5",
]
FEW_MIXED, MANY_MIXED = 10_000, 300_000
# The load ends after this number of requests or this time. With `--full`, the time is not limited.
MIXED_SECONDS = 25
SLICE_SECONDS = 3
LAG_QUANTILE = 0.999


def telemetry(bench: Bench) -> Batches:
    """Measures a server with an access log or with metrics beside one without them."""
    off = bench.service
    log = str(off.directory / "access.log")
    address = f"127.0.0.1:{free_port()}"
    metrics = {"CODER_PROMETHEUS_ENABLE": "true", "CODER_PROMETHEUS_ADDRESS": address}
    with beside(off, CODERAPI_ACCESS_LOG_PATH=log) as logged, beside(off, **metrics) as counted:
        plain = _reads("off", off)
        yield [
            Scenario("access log on", _reads("on", logged), plain, at_least=0.95),
            Scenario("Prometheus on", _reads("on", counted), plain, at_least=0.95),
            Scenario(
                "p99.9 of the event loop's lag, mixed requests",
                Measure("ours", lambda seconds: _lag(counted, address, seconds)),
                at_most=20,
                figure="lag_ms",
            ),
        ]


def _lag(service: Service, metrics: str, seconds: int) -> Figures:
    """Sends mixed requests. Returns the upper bound of the bucket with the percentile."""
    before = _lag_buckets(metrics)
    script = requests.mixed(service.token, MIXED, keys=READERS)
    wrk(service.url + SSH, script=script, seconds=max(seconds, SLICE_SECONDS))
    after = _lag_buckets(metrics)
    counts = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = max(counts.values())
    found = next(bound for bound, count in counts.items() if count >= LAG_QUANTILE * total)
    return {"lag_ms": found * 1000}


def _lag_buckets(address: str) -> dict[float, float]:
    """Returns the number of samples of the lag up to each bound."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    pattern = re.compile(r'coderapi_event_loop_lag_seconds_bucket{le="(.+)"} (\S+)')
    return {float(bound): float(count) for bound, count in pattern.findall(text)}


def _reads(name: str, service: Service) -> Measure:
    return load(name, service.url + SSH, requests.with_token(service.token))


def wear(bench: Bench) -> Batches:
    """Measures the memory of a server after many requests."""
    with running(readers=READERS) as worn:
        script = requests.mixed(worn.token, MIXED, keys=READERS)
        few = _send(worn, script, FEW_MIXED, seconds=MIXED_SECONDS)
        before = worn.memory()
        limit = float("inf") if bench.is_full else MIXED_SECONDS
        many = few + _send(worn, script, MANY_MIXED - few, seconds=limit)
        yield [
            Scenario(
                "memory after many mixed requests",
                Measure("after", lambda _: worn.memory(), needs_warm_up=False),
                Measure(f"after {few:,}", lambda _: before, needs_warm_up=False),
                at_most=1.05,
                figure="pss_mib",
                note=lambda _: f"after {many:,} requests",
            )
        ]


def _send(service: Service, script: str, count: int, *, seconds: float) -> int:
    """Sends about this number of requests, or fewer if the time ends. Returns the number."""
    sent, deadline = 0, time.monotonic() + seconds
    while sent < count and time.monotonic() < deadline:
        slice_seconds = SLICE_SECONDS if sent else 1
        found = wrk(
            service.url + SSH, script=script, seconds=slice_seconds, connections=CONNECTIONS
        )
        sent += int(found["requests"])
    return sent


def starting(bench: Bench) -> Batches:
    """Measures starting and stopping the whole service, and its memory when idle.

    The reference for starting is a process that only imports the code of the service.
    """
    with tempfile.TemporaryDirectory(prefix="coderapi-bench-") as name:
        directory = Path(name)
        # PostgreSQL runs under another account if this process is root's.
        directory.chmod(0o711)
        own = server_environment("", directory / "data")
        ours = Measure("server", lambda _: _start_and_stop(directory, own))
        away = server_environment("postgresql://nobody@127.0.0.1/none", directory)
        imported = _program("import", ["-c", SETUP], away)
        shown = _program("--help", ["manage.py", "server", "--help"], own)
        listed = _program("options", ["manage.py", "options"], own)
        yield [
            Scenario("start of a migrated service", ours, imported, at_most=0.7, figure="seconds"),
            Scenario("server --help", shown, imported, at_most=0.55, figure="seconds"),
            Scenario("options", listed, imported, at_most=0.28, figure="seconds"),
            Scenario("SIGTERM to exit, idle", ours, at_most=0.5, figure="stop_seconds"),
            Scenario(
                "memory of the idle service",
                ours,
                at_most=230,
                figure="pss_mib",
                note=_by_process,
            ),
        ]


def _program(name: str, arguments: list[str], environment: dict[str, str]) -> Measure:
    own = environment | {"DJANGO_SETTINGS_MODULE": "coderapi.settings"}
    return Measure(name, lambda _: {"seconds": run_program(arguments, own)}, needs_warm_up=False)


def _start_and_stop(directory: Path, environment: dict[str, str]) -> Figures:
    port, mark = free_port(), os.urandom(16).hex()
    command = ["manage.py", "server", "--http-address", f"127.0.0.1:{port}"]
    log = directory / "log"
    begun = time.perf_counter()
    with process(command, environment | {MARK: mark}, port=port, log=log) as started:
        taken = time.perf_counter() - begun
        time.sleep(IDLE_SECONDS)
        sizes = memory_of(mark)
        begun = time.perf_counter()
        started.send_signal(signal.SIGTERM)
        started.wait(STOP_SECONDS)
        return {"seconds": taken, "stop_seconds": time.perf_counter() - begun, **sizes}


def _by_process(figures: Figures) -> str:
    sizes = {name: figures[name] for name in figures if not name.endswith(("seconds", "_mib"))}
    return ", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes.items()))
