"""`make bench`: runs every scenario in several rounds, and writes the result as dated JSON.

Figures depend on the machine and its load. Compare only ratios, each of one round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from bench.load import BenchError, Figure, now
from bench.scenarios import CONNECTIONS, MAKE_TABLE, RATIOS, SCENARIOS
from bench.service import THREADS, WORKERS, Service, running

RESULTS = Path(__file__).parent / "results"
type Rounds = dict[str, list[Figure]]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=4, help="of each run")
    chosen = arguments.parse_args()
    try:
        with running() as service:
            report = measured(service, rounds=chosen.rounds, seconds=chosen.seconds)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    write(report)
    return 0 if all(ratio["met"] in (True, None) for ratio in report["ratios"]) else 1


def measured(service: Service, *, rounds: int, seconds: int) -> dict[str, Any]:
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        connection.execute(MAKE_TABLE)
    for scenario in SCENARIOS:  # A warm-up, without figures.
        scenario.run(service, 1)
    found: Rounds = {scenario.name: [] for scenario in SCENARIOS}
    for number in range(rounds):
        for scenario in SCENARIOS:
            figure = scenario.run(service, seconds)
            found[scenario.name].append(figure)
            sys.stderr.write(f"{number + 1}/{rounds} {scenario.name}: {figure.per_second:,.0f}/s\n")
    return {
        "at": now(),
        "machine": machine(service),
        "load": {"connections": CONNECTIONS, "seconds": seconds, "rounds": rounds},
        "figures": {name: summary(figures) for name, figures in found.items()},
        "ratios": [ratio(found, *row) for row in RATIOS],
    }


def summary(figures: list[Figure]) -> dict[str, Any]:
    rates = [figure.per_second for figure in figures]
    middle = statistics.median(rates)
    return {
        "per_second": round(middle),
        "spread": round((max(rates) - min(rates)) / middle, 3),
        "p99_ms": round(statistics.median(figure.p99_ms for figure in figures), 2),
        "rounds": [asdict(figure) for figure in figures],
    }


def ratio(found: Rounds, name: str, of: str, over: str, minimum: float | None) -> dict[str, Any]:
    """Returns the median of the ratios, each of two figures of the same round."""
    pairs = zip(found[of], found[over], strict=True)
    value = statistics.median(a.per_second / b.per_second for a, b in pairs)
    met = None if minimum is None else value >= minimum
    return {"name": name, "value": round(value, 3), "at_least": minimum, "met": met}


def machine(service: Service) -> dict[str, Any]:
    with psycopg.connect(service.database_url) as connection:
        version = connection.info.server_version
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": version // 10_000,
        "workers": WORKERS,
        "threads": THREADS,
        "load_average": os.getloadavg()[0],
    }


def write(report: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{report['at'][:10]}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for found in report["ratios"]:
        wanted = "" if found["at_least"] is None else f" (at least {found['at_least']})"
        sys.stdout.write(f"{found['name']}: {found['value']}{wanted}\n")
    sys.stdout.write(f"written to {path}\n")


if __name__ == "__main__":
    sys.exit(main())
