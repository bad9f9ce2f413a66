"""Runs wrk and pgbench on this machine, and parses their reports."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# The results of one run by name, such as `rate`, `p99_ms` and `errors`.
type Figures = dict[str, float]

CONNECTIONS = 64
# About as many as pgbench commits in one second.
TRANSACTIONS = 10_000
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class BenchError(Exception):
    """A figure cannot be measured."""


def now() -> str:
    """Returns the current time (UTC) as text."""
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def wrk(url: str, *, script: str, seconds: int, connections: int = CONNECTIONS) -> Figures:
    """Sends requests with two threads. Returns the rate of successful responses."""
    if not url.startswith("http://127.0.0.1:"):
        raise BenchError(f"{url} is not on this machine.")
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed (apt-get install wrk).")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(script)
        lua.flush()
        options = ["-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
        return parse_wrk(output(["wrk", *options, "-s", lua.name, url]))


def parse_wrk(report: str) -> Figures:
    """Returns the rate, the latencies, and the number of failed requests and of all requests."""
    total = re.search(r"^\s*(\d+) requests in", report, re.MULTILINE)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    if total is None or rate is None or int(total[1]) == 0:
        raise BenchError(f"wrk reported no responses:\n{report}")
    requests = int(total[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    # Connect, read, write and timeout errors. wrk does not count them as requests.
    broken = re.search(r"Socket errors: (.*)", report)
    failed = int(refused[1]) if refused else 0
    if failed == requests:
        raise BenchError(f"all responses were errors:\n{report}")
    return {
        "rate": float(rate[1]) * (1 - failed / requests),
        "p50_ms": _percentile(report, "50%"),
        "p99_ms": _percentile(report, "99%"),
        "errors": failed + (sum(map(int, re.findall(r"\d+", broken[1]))) if broken else 0),
        "requests": requests,
    }


def _percentile(report: str, name: str) -> float:
    found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s|m)$", report, re.MULTILINE)
    return float(found[1]) * _UNITS_MS[found[2]] if found else float("nan")


def pgbench(binaries: Path, url: str, *, script: str, clients: int, seconds: int) -> Figures:
    """Runs the script as often as possible, with prepared statements."""
    program = binaries / "pgbench"
    if not program.exists():
        raise BenchError(f"{binaries} does not contain pgbench.")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        # Limit the transactions and not the time, because connecting may take long. The rate is
        # computed without the time to connect.
        each = str(TRANSACTIONS * seconds // clients)
        options = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-t", each]
        return parse_pgbench(output([str(program), *options, "-f", file.name, url]))


def parse_pgbench(report: str) -> Figures:
    rate = re.search(r"tps = ([\d.]+)", report)
    failed = re.search(r"number of failed transactions: (\d+)", report)
    if rate is None:
        raise BenchError(f"pgbench reported no rate:\n{report}")
    return {"rate": float(rate[1]), "errors": int(failed[1]) if failed else 0}


def output(command: list[str], **more: Any) -> str:
    """Returns the output of a program. Raises: BenchError if it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603 - no other programs
        command, capture_output=True, text=True, **more
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)[:80]}: {done.stderr.strip()[-500:]}")
    return done.stdout
