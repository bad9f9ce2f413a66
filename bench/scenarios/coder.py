"""Running beside a Coder deployment: its tokens, with a stand-in for Coder, and its database."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench import requests
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, wrk
from bench.rows import SECRET
from bench.scenarios.base import SSH, Batches, Bench, load
from bench.service import WORKERS, Service, beside

USER = {
    "id": "00000000-0000-4000-8000-0000000c0de5",
    "username": "coder-user",
    "email": "coder-user@example.com",
    "status": "active",
    "roles": [{"name": "owner"}],
}
# The requests at the start of a load all need the same look-up.
LOOK_UP_SECONDS = 1
# Each agent sends a row in this interval, which is also the interval of the job.
REPORT_SECONDS = 30
# The number of agents, and of workspaces.
AGENTS = 10_000
MAX_QUERY_MS = 5
TABLES = f"""
CREATE TYPE workspace_transition AS ENUM ('start', 'stop', 'delete');
CREATE TABLE workspaces (id uuid PRIMARY KEY, deleted boolean);
CREATE TABLE workspace_builds (
    workspace_id uuid, build_number integer, transition workspace_transition, job_id uuid UNIQUE,
    UNIQUE (workspace_id, build_number)
);
CREATE TABLE provisioner_jobs (
    id uuid PRIMARY KEY, started_at timestamptz, canceled_at timestamptz, completed_at timestamptz,
    updated_at timestamptz, error text
);
CREATE TABLE workspace_agent_stats (
    id uuid PRIMARY KEY, created_at timestamptz, user_id uuid, agent_id uuid, workspace_id uuid,
    template_id uuid, connections_by_proto jsonb, connection_count bigint, rx_packets bigint,
    rx_bytes bigint, tx_packets bigint, tx_bytes bigint, connection_median_latency_ms float8,
    session_count_vscode bigint, session_count_jetbrains bigint,
    session_count_reconnecting_pty bigint, session_count_ssh bigint, usage boolean
);
CREATE INDEX ON workspace_agent_stats (created_at);
INSERT INTO workspaces SELECT md5(n::text)::uuid, false FROM generate_series(1, {AGENTS}) AS n;
INSERT INTO provisioner_jobs (id, started_at, completed_at, updated_at)
SELECT md5(n || ' ' || build)::uuid, now(), now(), now()
FROM generate_series(1, {AGENTS}) AS n, generate_series(1, 10) AS build;
INSERT INTO workspace_builds
SELECT md5(n::text)::uuid, build, 'start', md5(n || ' ' || build)::uuid
FROM generate_series(1, {AGENTS}) AS n, generate_series(1, 10) AS build;
"""  # noqa: S608 - the numbers are constants
# A row of each agent. The rows are spread over the seconds before the end of the interval.
REPORTS = f"""
INSERT INTO workspace_agent_stats
SELECT gen_random_uuid(), now() - {REPORT_SECONDS} * interval '1 second' * (turn + random()),
    md5('u' || n)::uuid, md5('a' || n)::uuid, md5(n::text)::uuid, md5('t')::uuid, '{{}}',
    1, 2, 3, 4, 5, 20 * random(), 1, 0, 0, 1, false
FROM generate_series(1, {AGENTS}) AS n, generate_series(%s::int, %s::int) AS turn
"""  # noqa: S608 - the numbers are constants
BUSY = "SELECT active_time FROM pg_stat_database WHERE datname = 'coder'"


class _Coder(ThreadingHTTPServer):
    """Accepts every token, and counts the look-ups."""

    look_ups = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Coder

    def do_POST(self) -> None:
        checks = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["checks"]
        self.server.look_ups += 1
        self._answer(dict.fromkeys(checks, True))

    def do_GET(self) -> None:
        self._answer(USER)

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keeps the output of the bench clean."""


@contextmanager
def _coder() -> Iterator[_Coder]:
    with _Coder(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _new_token() -> str:
    return f"{uuid.uuid4().hex[:10]}-{SECRET}"


def coder(bench: Bench) -> Batches:
    """Measures a cached token of Coder beside an own one, and the look-ups of a new token."""
    with (
        _coder() as server,
        beside(
            bench.service,
            CODERAPI_IDENTITY="coder",
            CODERAPI_CODER_URL=f"http://127.0.0.1:{server.server_port}",
        ) as other,
    ):
        url = other.url + SSH

        def look_ups(_: int) -> Figures:
            before, script = server.look_ups, requests.with_token(_new_token())
            found = wrk(url, script=script, seconds=LOOK_UP_SECONDS, connections=CONNECTIONS)
            return {"look_ups": server.look_ups - before, "errors": found["errors"]}

        own = requests.with_token(bench.service.token)
        yield [
            Scenario(
                "ssh, cached token of Coder",
                load("token of Coder", url, requests.with_token(_new_token())),
                load("own token", bench.service.url + SSH, own),
                at_least=0.95,
            ),
            Scenario(
                f"look-ups in Coder, {CONNECTIONS} connections with a new token",
                Measure("new token", look_ups, needs_warm_up=False),
                at_most=WORKERS,
                figure="look_ups",
            ),
        ]
    yield [
        Scenario(
            f"queries in Coder's database, {AGENTS:,} agents and workspaces",
            _followed(bench.service),
            at_most=MAX_QUERY_MS,
            figure="ms_a_second",
        )
    ]


def _followed(service: Service) -> Measure:
    """Returns a measure of the time that Coder's database is busy with our queries."""
    with service.connect() as connection:
        connection.execute("CREATE DATABASE coder")
    url = urlsplit(service.database_url)._replace(path="/coder").geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute(REPORTS, [1, 15 * 60 // REPORT_SECONDS])
        connection.execute("VACUUM ANALYZE")

    def follow(_: int) -> Figures:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(REPORTS, [0, 0])
        before = _busy_ms(service)
        service.command("run_job", "follow_coder_database", CODERAPI_CODER_DATABASE_URL=url)
        return {"ms_a_second": (_busy_ms(service) - before) / REPORT_SECONDS}

    return Measure("follower", follow)


def _busy_ms(service: Service) -> float:
    with service.connect() as connection:
        return float(connection.execute(BUSY).fetchall()[0][0])  # type: ignore[arg-type]
