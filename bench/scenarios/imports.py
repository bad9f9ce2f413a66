"""Imports of files, and the history of stats."""

from __future__ import annotations

import csv
import http.client
import itertools
import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import requests, rows
from bench.harness import Measure, Scenario
from bench.load import BenchError, Figures
from bench.scenarios.base import Batches, Bench
from bench.service import TOKEN_HEADER, Service

AGENTS = 10_000
# Each agent reports once in half a minute.
SPACING = timedelta(seconds=30) / AGENTS
# For each second of a load.
AGENT_ROWS = 40_000
REPORTS = 8_000
HISTORY_DAYS = 30
MIN_REPEATS, REPEAT_SECONDS = 3, 0.3

# The numbers of imports. Each import has its own minutes or its own hour.
_numbers = itertools.count()

type Lines = Iterator[dict[str, Any]]
type Write = Callable[[Path, Lines], None]


def imports(bench: Bench) -> Batches:
    """Measures import commands beside COPY of the rows that an import has stored."""
    service = bench.service
    as_json = _importing(service, "import_agent_stats", agent_rows, _write_json, AGENT_ROWS)
    as_csv = _importing(service, "import_agent_stats", agent_rows, _write_csv, AGENT_ROWS)
    reports = _importing(service, "import_csp_reports", csp_reports, _write_json, REPORTS)
    copied_rows = _copying(service, "stats_agentstat", AGENT_ROWS)
    copied_reports = _copying(service, "csp_report", REPORTS)
    yield [
        Scenario("import_agent_stats, JSON lines", as_json, copied_rows, at_least=0.5),
        Scenario("import_agent_stats, CSV", as_csv, copied_rows, at_least=0.4),
        Scenario("import_csp_reports", reports, copied_reports, at_least=0.06),
    ]


def _importing(
    service: Service,
    command: str,
    lines: Callable[[int, int], Lines],
    write: Write,
    a_second: int,
) -> Measure:
    """Returns a measure of an import, without the time that the command needs for one line."""

    def run(seconds: int) -> Figures:
        count, number = a_second * seconds, next(_numbers)
        one, all_lines = (service.directory / f"{number}-{part}" for part in ("one", "all"))
        write(one, itertools.islice(lines(number, count), 1))
        write(all_lines, lines(number, count))
        started = service.command(command, str(one))
        taken = service.command(command, str(all_lines)) - started
        return {"rate": count / max(taken, 0.001)}

    return Measure(command, run)


def _copying(service: Service, table: str, a_second: int) -> Measure:
    """Returns a measure of COPY. The table must already contain rows."""

    def run(seconds: int) -> Figures:
        with service.connect() as connection:
            data = rows.exported(connection, table, limit=a_second * seconds)
            lines = data.count(b"\n")
            if not lines:
                raise BenchError(f"{table} is empty.")
            return {"rate": lines / rows.copied(connection, table, data)}

    return Measure("COPY", run, needs_warm_up=False)


def _write_json(file: Path, lines: Lines) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _write_csv(file: Path, lines: Lines) -> None:
    found = list(lines)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, found[0])
        writer.writeheader()
        for line in found:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, dict | bool) else v for k, v in line.items()}
            )


def agent_rows(number: int, count: int) -> Lines:
    """Yields rows of agents in the order of time."""
    end = datetime.now(tz=UTC) - timedelta(minutes=2) - number * (count * SPACING)
    for place in range(count):
        agent = str(uuid.UUID(int=place % AGENTS))
        yield {
            "id": str(uuid.uuid4()),
            "created_at": (end - (count - place) * SPACING).isoformat(),
            "user_id": str(uuid.UUID(int=place % 500)),
            "agent_id": agent,
            "workspace_id": agent,
            "template_id": str(uuid.UUID(int=place % 20)),
            "connections_by_proto": {"TCP": 3},
            "connection_count": 3,
            "rx_packets": 1000,
            "rx_bytes": place,
            "tx_packets": 900,
            "tx_bytes": 7 * place,
            "session_count_vscode": 1,
            "session_count_jetbrains": 0,
            "session_count_reconnecting_pty": 0,
            "session_count_ssh": place % 2,
            "connection_median_latency_ms": 1 + place % 997 / 7,
            "usage": False,
        }


def csp_reports(number: int, count: int) -> Lines:
    """Yields distinct reports of 500 groups."""
    at = datetime.now(tz=UTC) - timedelta(hours=number + 1)
    mark = uuid.uuid4().hex[:8]
    for place in range(count):
        blocked = f"https://cdn{place % requests.GROUPS}.example.net/lib-{mark}-{place}.js"
        report = requests.REPORT | {"blocked-uri": blocked, "line-number": place % 10_000}
        yield {"csp-report": report, "received_at": at.isoformat()}


def history(bench: Bench) -> Batches:
    """Measures a month of history beside the configuration, with one connection."""
    service = bench.service
    with service.connect() as connection:
        _make_history(service, connection)
    ours = Measure("history", lambda _: _month(service), needs_warm_up=False)
    # A history of 30 days has 187 KB.
    large = Measure("config, 147 KB", lambda _: _repeated(service, "/api/v2/deployment/config"))
    yield [
        Scenario("history, 30 days hourly, first", ours, at_most=60, figure="first_ms"),
        Scenario("history, 30 days hourly, again", ours, large, at_most=1.5, figure="again_ms"),
    ]


def _make_history(service: Service, connection: rows.Connection) -> None:
    """Stores rollups and snapshots of a month, as copies of one rollup and one snapshot."""
    file = service.directory / "history"
    _write_json(file, agent_rows(0, AGENTS))
    service.command("import_agent_stats", str(file))
    since = datetime.now(tz=UTC) - timedelta(hours=1)
    service.command("rebuild_stats", "--since", since.isoformat())
    start = "date_trunc('hour', now(), 'UTC') - (n + 24) * interval '{step}'"
    steps = (("1 hour", "3600", 24 * HISTORY_DAYS), ("1 minute", "60", 1440 * HISTORY_DAYS))
    for step, span, count in steps:
        moment = start.format(step=step)
        # The copied row may be of a minute, and only hours have latencies.
        latencies = dict.fromkeys(("latency_p50_ms", "latency_p95_ms"), f"NULLIF({span}, 60)")
        rows.multiply(
            connection, "stats_rollup", count, starts_at=moment, span_seconds=span, **latencies
        )
    moment = start.format(step="5 minutes") + " + interval '1 second'"
    earlier = f"{moment} - interval '15 minutes'"
    rows.multiply(
        connection,
        "stats_snapshot",
        288 * HISTORY_DAYS,
        collected_at=moment,
        aggregated_from=earlier,
    )
    connection.execute("VACUUM ANALYZE stats_rollup, stats_snapshot")


_shifts = itertools.count(1)


def _month(service: Service) -> Figures:
    """Requests a month that no earlier request has read, and then the same month again."""
    end = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
    until = end - timedelta(hours=next(_shifts))
    since = until - timedelta(days=HISTORY_DAYS - 1)
    period = {"since": since.isoformat(), "until": until.isoformat(), "step": "1h"}
    path = f"/api/coderapi/v1/stats/history?{urlencode(period)}"
    return _repeated(service, path)


def _repeated(service: Service, path: str) -> Figures:
    """Returns the duration of the first request, and the median of the next ones."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=60)
    connection.connect()
    taken: list[float] = []
    while len(taken) <= MIN_REPEATS or sum(taken) < 1000 * REPEAT_SECONDS:
        begun = time.perf_counter()
        connection.request("GET", path, headers={TOKEN_HEADER: service.token})
        answer = connection.getresponse()
        body = answer.read()
        taken.append(1000 * (time.perf_counter() - begun))
        if answer.status != 200:
            raise BenchError(f"{path}: {answer.status} {body[:200]!r}")
    connection.close()
    return {"first_ms": taken[0], "again_ms": statistics.median(taken[1:])}
