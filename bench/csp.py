"""`python -m bench.csp`: compares collecting CSP reports with a DRF view and with pgbench.

All sides run in turn on one database, with the same number of workers and threads. Only this
service scrubs and groups. `--memory 1000000` then sends a million more, and measures the workers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import psycopg

from bench.csp_memory import Growth, growth_over
from bench.load import BenchError, Figure, now, pgbench, wrk
from bench.scenarios import INSERT_REPORT, MAKE_TABLE, POST_REPORT, REPORT
from bench.service import (
    Service,
    free_port,
    process,
    reference_command,
    running,
    wait_for_answer,
)

CONNECTIONS = 64
MANY_CONNECTIONS = 256
# Reports of 500 blocked hosts, which make 500 groups. Each keeps its reports as rows.
SCRIPT = (
    POST_REPORT.replace("{report}", REPORT)
    + """
local requests, n = {}, 0
function init()
    for host = 1, 500 do
        local body = string.gsub(wrk.body, "cdn.example.net", "cdn" .. host .. ".example.net")
        requests[host] = wrk.format(nil, nil, nil, body)
    end
end
function request()
    n = n % #requests + 1
    return requests[n]
end
"""
)
OURS, OURS_MANY, DJANGO, PGBENCH = "service", "service, 256 connections", "DRF view", "pgbench"


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure with its minimum or maximum."""

    name: str
    value: float
    minimum: float | None = None
    maximum: float | None = None

    @property
    def met(self) -> bool:
        enough = self.minimum is None or self.value >= self.minimum
        return enough and (self.maximum is None or self.value <= self.maximum)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.csp", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=4, help="of each run")
    arguments.add_argument("--memory", type=int, default=0, metavar="REPORTS")
    chosen = arguments.parse_args()
    try:
        rounds, grown = measured(chosen.rounds, seconds=chosen.seconds, reports=chosen.memory)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    found = claims(rounds, grown)
    sys.stdout.write(json.dumps(report(rounds, found, grown), indent=1) + "\n")
    return 0 if all(claim.met for claim in found) else 1


def measured(
    rounds: int, *, seconds: int, reports: int
) -> tuple[list[dict[str, Figure]], Growth | None]:
    with ExitStack() as stack:
        service = stack.enter_context(running())
        with psycopg.connect(service.database_url, autocommit=True) as connection:
            connection.execute(MAKE_TABLE)
        sides = sides_of(service, stack.enter_context(django_view(service.database_url)))
        for name in (OURS, DJANGO):  # A warm-up, without figures.
            warm_up(sides[name])
        found = [{name: run(seconds) for name, run in sides.items()} for _ in range(rounds)]
        return found, growth_over(service, reports=reports) if reports else None


def warm_up(run: Callable[[int], Figure]) -> None:
    """Fills memories and pools. The first requests may fail while they wait for a connection."""
    with suppress(BenchError):
        run(1)
    run(1)


@contextmanager
def django_view(database_url: str) -> Iterator[str]:
    """Starts the DRF view, and yields its URL."""
    port = free_port()
    command = reference_command(port, "bench.csp_reference:application")
    with process(command, {**os.environ, "DATABASE_URL": database_url}):
        wait_for_answer(port)
        yield f"http://127.0.0.1:{port}/reports"


def sides_of(service: Service, django_url: str) -> dict[str, Callable[[int], Figure]]:
    script = SCRIPT.replace("{token}", service.token)

    def post(url: str, connections: int, seconds: int) -> Figure:
        return wrk(url, script=script, connections=connections, seconds=seconds)

    ours = f"{service.url}/api/v2/csp/reports"
    return {
        OURS: partial(post, ours, CONNECTIONS),
        DJANGO: partial(post, django_url, CONNECTIONS),
        PGBENCH: lambda seconds: pgbench(
            service.binaries,
            service.database_url,
            statement=INSERT_REPORT,
            clients=CONNECTIONS,
            seconds=seconds,
        ),
        OURS_MANY: partial(post, ours, MANY_CONNECTIONS),
    }


def claims(rounds: list[dict[str, Figure]], grown: Growth | None) -> list[Claim]:
    """Returns the claims. Each ratio compares figures of one round."""

    def over(name: str) -> float:
        ratios = [each[OURS].per_second / each[name].per_second for each in rounds]
        return round(statistics.median(ratios), 3)

    p99 = statistics.median(each[OURS_MANY].p99_ms for each in rounds)
    found = [
        Claim("service over DRF view", over(DJANGO), minimum=3.5),
        Claim("service over pgbench", over(PGBENCH), minimum=0.2),
        Claim("p99 of 256 connections, ms", p99, maximum=100),
    ]
    if grown:
        found.append(Claim("memory after all over after half", grown.ratio, maximum=1.05))
    return found


def report(
    rounds: list[dict[str, Figure]], found: list[Claim], grown: Growth | None
) -> dict[str, Any]:
    return {
        "at": now(),
        "load_average": os.getloadavg()[0],
        "per_second": {
            name: [round(each[name].per_second) for each in rounds] for name in rounds[0]
        },
        "memory_mib": grown.mebibytes if grown else None,
        "claims": [asdict(claim) | {"met": claim.met} for claim in found],
    }


if __name__ == "__main__":
    sys.exit(main())
