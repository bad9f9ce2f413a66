"""Measures the workers' memory while many different reports arrive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.load import BenchError, wrk
from bench.scenarios import POST_REPORT, REPORT
from bench.service import Service

STEPS = 10
SLICE_SECONDS = 2
CONNECTIONS = 16
PER_REQUEST = 100

# Every report has its own address, so that the workers' memories are full soon.
DIFFERENT = """
local threads = 0
function setup(thread) thread:set("number", threads); threads = threads + 1 end
local n = 0
local whole = wrk.body
function request()
    n = n + 1
    local page = string.format("%d-%d-%d", os.time(), number, n)
    return wrk.format("POST", nil, nil, (string.gsub(whole, "PAGE", page)))
end
"""


@dataclass(frozen=True, slots=True)
class Growth:
    """The workers' memory after each tenth of the reports."""

    mebibytes: list[int]

    @property
    def ratio(self) -> float:
        """Returns the last size over that at half-way, when the memories are full."""
        return round(self.mebibytes[-1] / self.mebibytes[len(self.mebibytes) // 2], 3)


def growth_over(service: Service, *, reports: int) -> Growth:
    """Sends the reports in arrays of 100. Measures the workers after each tenth."""
    script = POST_REPORT.replace("{report}", many_reports()).replace("{token}", service.token)
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        already = collected(connection)
        sizes = []
        for step in range(STEPS):
            while collected(connection) - already < reports * (step + 1) // STEPS:
                wrk(
                    f"{service.url}/api/v2/csp/reports",
                    script=script + DIFFERENT,
                    connections=CONNECTIONS,
                    seconds=SLICE_SECONDS,
                )
            sizes.append(worker_mebibytes(service))
    return Growth(sizes)


def many_reports() -> str:
    """Returns the body of one request, with reports of twenty hosts and a hundred pages."""
    report = json.loads(REPORT)["csp-report"]
    items = [
        {
            "type": "csp-violation",
            "body": report
            | {
                "document-uri": f"https://coder.example.com/workspaces/PAGE-{number}",
                "blocked-uri": f"https://cdn{number % 20}.example.net/PAGE/{number}.js",
            },
        }
        for number in range(PER_REQUEST)
    ]
    # The line break keeps the end of the array apart from that of the Lua string around it.
    return json.dumps(items) + "\n"


def collected(connection: psycopg.Connection[tuple[int]]) -> int:
    row = connection.execute("SELECT coalesce(sum(count), 0)::bigint FROM csp_group").fetchone()
    return row[0] if row else 0


def worker_mebibytes(service: Service) -> int:
    """Returns the memory of all workers of the service."""
    sizes = [resident_kib(entry) for entry in Path("/proc").iterdir() if is_worker(entry, service)]
    if not sizes:
        raise BenchError("the service's workers cannot be found under /proc.")
    return sum(sizes) // 1024


def is_worker(entry: Path, service: Service) -> bool:
    """Returns whether it is a process of granian with the URL of the service's database."""
    try:
        spawned = b"spawn_main" in (entry / "cmdline").read_bytes()
        return spawned and service.database_url.encode() in (entry / "environ").read_bytes()
    except OSError:
        return False


def resident_kib(entry: Path) -> int:
    lines = (entry / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
