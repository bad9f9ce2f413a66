"""`python -m bench.csp`: what collecting CSP reports costs, held against the usual ways.

All sides run in turn on one database, with equally many workers and threads; ours with scrubbing,
noise rules and grouping. `--memory 1000000` then sends so many more, and looks at the workers.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from bench.csp_memory import Growth, growth_over
from bench.load import BenchError, Figure, pgbench, wrk
from bench.scenarios import INSERT_REPORT, MAKE_TABLE, POST_REPORT, REPORT
from bench.service import (
    THREADS,
    WORKERS,
    Service,
    free_port,
    process,
    running,
    wait_for_answer,
)

CONNECTIONS = 64
MANY_CONNECTIONS = 256
# Reports of 500 blocked hosts: so many groups, each of which keeps its reports as rows.
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
    """A figure that is promised, and whether it was met."""

    name: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> bool:
        over = self.least is None or self.value >= self.least
        return over and (self.most is None or self.value <= self.most)


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
        for name in (OURS, DJANGO):  # A warm-up, whose figures are not kept.
            warm_up(sides[name])
        found = [{name: run(seconds) for name, run in sides.items()} for _ in range(rounds)]
        return found, growth_over(service, reports=reports) if reports else None


def warm_up(run: Callable[[int], Figure]) -> None:
    """Fills memories and pools, for which so many first requests at once may have to wait."""
    with suppress(BenchError):
        run(1)
    run(1)


@contextmanager
def django_view(database_url: str) -> Iterator[str]:
    """The URL of the DRF view that is compared with."""
    port = free_port()
    command = [
        *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(WORKERS), "--blocking-threads", str(THREADS), "--log-level", "error"),
        *("--http", "1", "--no-ws", "bench.csp_reference:application"),
    ]
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
    """Ratios are of one round each, so that both sides had the same machine."""

    def over(name: str) -> float:
        ratios = [each[OURS].per_second / each[name].per_second for each in rounds]
        return round(statistics.median(ratios), 3)

    p99 = statistics.median(each[OURS_MANY].p99_ms for each in rounds)
    found = [
        Claim("service over DRF view", over(DJANGO), least=3.5),
        Claim("service over pgbench", over(PGBENCH), least=0.2),
        Claim("p99 of 256 connections, ms", p99, most=100),
    ]
    if grown:
        found.append(Claim("memory after all over after half", grown.ratio, most=1.05))
    return found


def report(
    rounds: list[dict[str, Figure]], found: list[Claim], grown: Growth | None
) -> dict[str, Any]:
    return {
        "at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
        "per_second": {
            name: [round(each[name].per_second) for each in rounds] for name in rounds[0]
        },
        "memory_mib": grown.mebibytes if grown else None,
        "claims": [
            {"name": c.name, "value": c.value, "least": c.least, "most": c.most, "met": c.met}
            for c in found
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
