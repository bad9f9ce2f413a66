"""Load from wrk and pgbench on this machine, and their reports."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class BenchError(Exception):
    """Raised if a figure cannot be measured."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The result of one run. Units: answers a second, milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def wrk(url: str, *, script: str, connections: int, seconds: int) -> Figure:
    """Runs wrk with two threads. Raises: BenchError if an answer is an error."""
    if not url.startswith("http://127.0.0.1:"):
        raise BenchError(f"{url} is not on this machine.")
    program = shutil.which("wrk")
    if program is None:
        raise BenchError("wrk is not installed (apt-get install wrk).")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        lua.write(script)
        lua.flush()
        command = [program, "-t2", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", lua.name]
        report = subprocess.run(  # noqa: S603 - the load generator
            [*command, url], capture_output=True, text=True, check=True
        ).stdout
    return parse_wrk(report)


def now() -> str:
    """Returns the time for a report."""
    return datetime.now(tz=UTC).isoformat(timespec="seconds")


def parse_wrk(report: str) -> Figure:
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    if failed:
        raise BenchError(f"{failed[1]} answers were errors:\n{report}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", report)
    if rate is None:
        raise BenchError(f"wrk reported no rate:\n{report}")
    return Figure(float(rate[1]), _percentile(report, "50%"), _percentile(report, "99%"))


def _percentile(report: str, name: str) -> float:
    found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s|m)$", report, re.MULTILINE)
    return float(found[1]) * _UNITS_MS[found[2]] if found else float("nan")


def pgbench(binaries: Path, url: str, *, statement: str, clients: int, seconds: int) -> Figure:
    """Runs pgbench with a commit after each statement."""
    program = binaries / "pgbench"
    if not program.exists():
        raise BenchError(f"there is no pgbench beside {binaries}.")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement)
        script.flush()
        arguments = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds)]
        report = subprocess.run(  # noqa: S603 - the load generator
            [program, *arguments, "-f", script.name, url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    rate = re.search(r"tps = ([\d.]+)", report)
    latency = re.search(r"latency average = ([\d.]+) ms", report)
    if rate is None or latency is None:
        raise BenchError(f"pgbench reported no rate:\n{report}")
    return Figure(float(rate[1]), float(latency[1]), float("nan"))
