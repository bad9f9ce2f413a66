"""Load by wrk and pgbench, and what they report. Only addresses of this machine are ever asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class BenchError(Exception):
    """A figure cannot be measured; the message says what is missing or went wrong."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What one run found. Units: answers a second, milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def wrk(url: str, *, script: str, connections: int, seconds: int) -> Figure:
    """One run of wrk with two threads. Raises: BenchError when an answer was not a success."""
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
    """One run of pgbench: the statement, one commit each."""
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
