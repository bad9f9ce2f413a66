"""`python -m bench.stats`: measures snapshots, the builder, and the ingestion of rows.

10,000 agents report every 30 seconds, so that a window has 300,000 rows. Snapshots are taken at
several seconds of a minute, with few and with many raw rows. The slowest counts, and is compared
with two plain queries of the raw table. A round of the builder builds half a minute of reports.
Imports of files and requests are compared with a COPY of as many rows into the same indexes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench.load import BenchError, now
from bench.service import PROJECT, Service, running, server_environment

AGENTS = 10_000
EVERY = timedelta(seconds=30)
REQUEST_ROWS = 10_000
# A snapshot takes milliseconds, so a disturbance can be longer than a whole round.
SNAPSHOTS_A_ROUND = 4
INGESTED = 100_000
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
# The seconds of a minute at which snapshots are taken. The number of raw rows at the edges differs.
MOMENTS = [timedelta(seconds=seconds) for seconds in (1, 14, 29, 44, 59)]
COLUMNS = (
    "id, created_at, user_id, agent_id, workspace_id, template_id, connections_by_proto, "
    "connection_count, rx_packets, rx_bytes, tx_packets, tx_bytes, session_count_vscode, "
    "session_count_jetbrains, session_count_reconnecting_pty, session_count_ssh, "
    "connection_median_latency_ms, usage"
)
# Each agent reports once in each half minute of (%(start)s, %(end)s], one after another.
FILL = f"""
INSERT INTO stats_agentstat ({COLUMNS})
SELECT gen_random_uuid(), at + agent * interval '3 ms',
       lpad((agent %% 500)::text, 32, '0')::uuid, lpad(agent::text, 32, '0')::uuid,
       lpad(agent::text, 32, '0')::uuid, lpad((agent %% 20)::text, 32, '0')::uuid, '{{"TCP": 3}}',
       3, 1000, (random() * 1e6)::bigint, 900, (random() * 1e6)::bigint, agent %% 2, 0, 0, 1,
       exp(3 + random() * 2), false
FROM generate_series(
         date_bin('30 s', %(start)s, TIMESTAMPTZ '1970-01-01'), %(end)s, interval '30 s'
     ) AS at,
     generate_series(1, %(agents)s) AS agent
WHERE at + agent * interval '3 ms' > %(start)s AND at + agent * interval '3 ms' <= %(end)s
"""  # noqa: S608 - ours
PARTITION = """
CREATE TABLE IF NOT EXISTS stats_agentstat_p{name} PARTITION OF stats_agentstat
FOR VALUES FROM ('{start}') TO ('{end}');
INSERT INTO stats_rollup (span, start, row_count, rx_bytes, tx_bytes, buckets, counts, built_at)
VALUES (3600, '{start}', 0, 0, 0, '{{}}', '{{}}', '{start}') ON CONFLICT DO NOTHING
"""
SUMS = """
SELECT coalesce(sum(rx_bytes), 0), coalesce(sum(tx_bytes), 0),
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY connection_median_latency_ms)
FROM stats_agentstat
WHERE created_at > %(at)s - interval '15 min' AND created_at <= %(at)s
  AND connection_median_latency_ms > 0
"""
NEWEST = """
SELECT sum(session_count_vscode), sum(session_count_ssh), sum(session_count_jetbrains),
       sum(session_count_reconnecting_pty)
FROM (
    SELECT *, row_number() OVER (PARTITION BY agent_id ORDER BY created_at DESC) AS place
    FROM stats_agentstat
    WHERE created_at > %(at)s - interval '15 min' AND created_at <= %(at)s
) AS ranked WHERE place = 1
"""

COLLECT = """
from datetime import datetime
from stats.services import collect_snapshot
for at in {moments}:
    collect_snapshot(datetime.fromisoformat(at))
"""

BUILD = """
import time
from datetime import datetime, timedelta
from django.db import connection
from stats.rollups.builder import build
from stats.rollups.hours import floor, MINUTE, mark_stale
at = datetime.fromisoformat({at!r})
build(now=at)
for number in range({rounds}):
    until = at + timedelta(seconds=30)
    with connection.cursor() as cursor:
        cursor.execute({fill!r}, {{"start": at, "end": until, "agents": {agents}}})
    mark_stale({{floor(at, MINUTE), floor(until, MINUTE)}})
    begun = time.perf_counter()
    build(now=until)
    print(time.perf_counter() - begun)
    at = until
"""

type Line = dict[str, Any]


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.stats", description=__doc__)
    arguments.add_argument("--rows", type=int, default=30_000_000, help="maximum in the table")
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    try:
        with running() as service, tempfile.TemporaryDirectory() as directory:
            report = measured(service, Path(directory), rows=chosen.rows, rounds=chosen.rounds)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0 if all(ratio["met"] for ratio in report["ratios"]) else 1


def measured(service: Service, directory: Path, *, rows: int, rounds: int) -> dict[str, Any]:
    minute = datetime.now(tz=UTC).replace(second=0, microsecond=0) - 2 * MINUTE
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        few = fill(connection, minute, rows=1_000_000)
        rebuild(service, connection, directory, since=minute - 20 * MINUTE)
        at, small = slowest(service, connection, directory, minute, rounds=rounds)
        plain = plain_queries(connection, at, rounds=rounds)
        many = fill(connection, at, rows=rows)
        at, large = slowest(service, connection, directory, at, rounds=rounds)
        plain_many = plain_queries(connection, at, rounds=rounds)
        overtaken = snapshots(service, directory, at - EVERY / 3, rounds=rounds)
        built = builds(service, connection, directory, at, rounds=rounds)
        ingested = ingestion(service, connection, directory, rounds=rounds)
    ratios = [
        at_most("snapshot with many over few rows", large / small, 1.3),
        at_most("snapshot over plain queries, few rows", small / plain, 1 / 10),
        at_most("snapshot over plain queries, many rows", large / plain_many, 1 / 10),
        at_most("a round of the builder, seconds", built, 0.15),
        at_least("file over COPY", speed(ingested, "file"), 0.5),
        at_least("HTTP over COPY", speed(ingested, "HTTP"), 0.3),
    ]
    return {
        "at": now(),
        "load_average": os.getloadavg()[0],
        "rows": {"few": few, "many": many, "ingested": INGESTED},
        "seconds": {
            "snapshot, few": small,
            "snapshot, many": large,
            "snapshot, many, overtaken by a third of the agents": overtaken,
            "a round of the builder": built,
            "plain queries, few": plain,
            "plain queries, many": plain_many,
            **{name: statistics.median(times) for name, times in ingested.items()},
        },
        "ratios": ratios,
    }


def at_most(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 4), "at_most": limit, "met": value <= limit}


def at_least(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 4), "at_least": limit, "met": value >= limit}


def fill(connection: psycopg.Connection[Any], at: datetime, *, rows: int) -> int:
    """Fills empty hours, the newest first, up to this number of rows. Returns the number."""
    known = count(connection)
    end = oldest(connection) or at
    while known < rows:
        hour = end.replace(minute=0, second=0, microsecond=0)
        start = hour if hour < end else hour - HOUR
        start = max(start, end - (rows - known) // AGENTS * EVERY)
        if start >= end:
            break
        make_partition(connection, start.replace(minute=0, second=0, microsecond=0))
        connection.execute(FILL, {"start": start, "end": end, "agents": AGENTS})
        known += int((end - start) / EVERY) * AGENTS
        end = start
        sys.stderr.write(f"{known:,} rows\n")
    connection.execute("VACUUM ANALYZE stats_agentstat")
    return count(connection)


def count(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT count(*) FROM stats_agentstat").fetchone()
    return int(row[0]) if row else 0


def oldest(connection: psycopg.Connection[Any]) -> datetime | None:
    row = connection.execute("SELECT min(created_at) FROM stats_agentstat").fetchone()
    # The oldest round of reports begins at an even half minute.
    return row[0].astimezone(UTC).replace(microsecond=0) if row and row[0] else None


def make_partition(connection: psycopg.Connection[Any], hour: datetime) -> None:
    names = {"name": f"{hour:%Y%m%d%H%M}", "start": hour.isoformat()}
    connection.execute(PARTITION.format(end=(hour + HOUR).isoformat(), **names))


def rebuild(
    service: Service, connection: psycopg.Connection[Any], directory: Path, *, since: datetime
) -> None:
    """Builds the rows that were written without the service."""
    command(service, directory, "rebuild_stats", "--since", since.isoformat())
    connection.execute("VACUUM ANALYZE stats_newestagentstat, stats_rollup")


def builds(
    service: Service,
    connection: psycopg.Connection[Any],
    directory: Path,
    at: datetime,
    *,
    rounds: int,
) -> float:
    """Returns the median time to build half a minute of reports. Units: seconds."""
    for hour in {at, at + rounds * EVERY}:
        make_partition(connection, hour.replace(minute=0, second=0, microsecond=0))
    code = BUILD.format(at=at.isoformat(), rounds=rounds, fill=FILL, agents=AGENTS)
    output = command(service, directory, "shell", "--no-imports", "-c", code)
    return statistics.median(map(float, output.split()))


def slowest(
    service: Service,
    connection: psycopg.Connection[Any],
    directory: Path,
    since: datetime,
    *,
    rounds: int,
) -> tuple[datetime, float]:
    """Adds a minute of reports. Returns its end, and the time of its slowest snapshot."""
    found = []
    known = since
    for moment in MOMENTS:
        at = since.replace(second=0) + MINUTE * (since.second > 0) + moment
        make_partition(connection, at.replace(minute=0, second=0))
        connection.execute(FILL, {"start": known, "end": at, "agents": AGENTS})
        rebuild(service, connection, directory, since=known - MINUTE)
        found.append(snapshots(service, directory, at, rounds=rounds))
        known = at
    sys.stderr.write(f"snapshots: {', '.join(f'{1000 * each:.1f} ms' for each in found)}\n")
    return known, max(found)


def snapshots(service: Service, directory: Path, at: datetime, *, rounds: int) -> float:
    """Returns the least time of a snapshot, which the machine disturbed least. Units: seconds.

    One process takes all, as the worker does. The first is a warm-up.
    """
    times = SNAPSHOTS_A_ROUND * rounds
    moments = [at - timedelta(microseconds=number) for number in range(times + 1, 0, -1)]
    code = COLLECT.format(moments=[moment.isoformat() for moment in moments])
    command(service, directory, "shell", "--no-imports", "-c", code)
    with psycopg.connect(service.database_url) as connection:
        taken = connection.execute(
            "SELECT duration_ms FROM stats_snapshot ORDER BY id DESC LIMIT %s", [times]
        ).fetchall()
    return float(min(row[0] for row in taken)) / 1000


def plain_queries(connection: psycopg.Connection[Any], at: datetime, *, rounds: int) -> float:
    def both() -> None:
        for query in (SUMS, NEWEST):
            connection.execute(query, {"at": at}).fetchall()

    return min(seconds_of(both) for _ in range(rounds))


def ingestion(
    service: Service, connection: psycopg.Connection[Any], directory: Path, *, rounds: int
) -> dict[str, list[float]]:
    """Ingests rows in each way in turn. Units: seconds, without the start of a command."""
    found: dict[str, list[float]] = {"COPY": [], "file": [], "HTTP": []}
    one = directory / "one.jsonl"
    one.write_bytes(orjson.dumps(next(lines(datetime.now(tz=UTC)))))
    for number in range(rounds):
        moment = datetime.now(tz=UTC)
        for each in {moment - HOUR, moment}:
            make_partition(connection, each.replace(minute=0, second=0, microsecond=0))
        text = "".join("\t".join(map(as_text, line.values())) + "\n" for line in lines(moment))
        found["COPY"].append(seconds_of(partial(copy, connection, text)))
        file = directory / f"rows{number}.jsonl"
        file.write_bytes(b"\n".join(orjson.dumps(line) for line in lines(moment)))
        started = seconds_of(partial(imported, service, directory, one))
        imported_in = seconds_of(partial(imported, service, directory, file))
        found["file"].append(imported_in - started)
        bodies = list(request_bodies(moment))
        found["HTTP"].append(seconds_of(partial(post, service, bodies)))
    return found


def speed(ingested: dict[str, list[float]], way: str) -> float:
    """Returns the speed relative to COPY, by the least times, which the machine disturbed least."""
    return min(ingested["COPY"]) / min(ingested[way])


def lines(moment: datetime) -> Iterator[Line]:
    """Yields new rows in the order of time, as agents report them."""
    for number in range(INGESTED):
        agent = str(uuid.UUID(int=number % AGENTS))
        yield {
            "id": str(uuid.uuid4()),
            "created_at": (moment - 3 * timedelta(microseconds=INGESTED - number)).isoformat(),
            "user_id": str(uuid.UUID(int=number % 500)),
            "agent_id": agent,
            "workspace_id": agent,
            "template_id": str(uuid.UUID(int=number % 20)),
            "connections_by_proto": {"TCP": 3},
            "connection_count": 3,
            "rx_packets": 1000,
            "rx_bytes": number,
            "tx_packets": 900,
            "tx_bytes": 7 * number,
            "session_count_vscode": 1,
            "session_count_jetbrains": 0,
            "session_count_reconnecting_pty": 0,
            "session_count_ssh": number % 2,
            "connection_median_latency_ms": 1 + number % 997 / 7,
            "usage": False,
        }


def as_text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def copy(connection: psycopg.Connection[Any], text: str) -> None:
    with connection.cursor().copy(f"COPY stats_agentstat ({COLUMNS}) FROM STDIN") as copying:
        copying.write(text)


def imported(service: Service, directory: Path, file: Path) -> None:
    command(service, directory, "import_agent_stats", str(file))


def request_bodies(moment: datetime) -> Iterator[bytes]:
    rows = [line | {"kind": "agent"} for line in lines(moment)]
    for start in range(0, len(rows), REQUEST_ROWS):
        yield b"\n".join(map(orjson.dumps, rows[start : start + REQUEST_ROWS]))


def post(service: Service, bodies: list[bytes]) -> None:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    for body in bodies:
        headers = {"Coder-Session-Token": service.token, "Content-Type": "application/json"}
        connection.request("POST", "/api/v2/deployment/stats/reports", body, headers)
        answer = connection.getresponse()
        verdicts = orjson.loads(answer.read())
        if answer.status != 200 or verdicts["accepted"] != REQUEST_ROWS:
            raise BenchError(f"Rows were not ingested: {answer.status} {str(verdicts)[:200]}")
    connection.close()


def command(service: Service, directory: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env=server_environment(service.database_url, directory),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchError(f"manage.py {arguments[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout


def seconds_of(action: Callable[[], None]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
