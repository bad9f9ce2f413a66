"""Running beside a Coder deployment: its tokens, with a stand-in for Coder, and its database."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg

from bench import requests
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, wrk
from bench.scenarios.base import SSH, Batches, Bench, load
from bench.service import WORKERS, Service, beside
from tests.support.coder_releases import V2_34
from tests.support.stand_in_coder import Key, Person, StandInCoder

LOOK_UP = "/api/v2/authcheck"
# The requests at the start of a load all need the same look-up.
LOOK_UP_SECONDS = 1
# Each agent sends a row in this interval, which is also the interval of the job.
REPORT_SECONDS = 30
# The number of agents, and of workspaces.
AGENTS = 10_000
MAX_QUERY_MS = 5
ROWS = f"""
INSERT INTO workspaces (id, deleted)
SELECT md5(n::text)::uuid, false FROM generate_series(1, {AGENTS}) AS n;
INSERT INTO provisioner_jobs (id, started_at, completed_at, updated_at)
SELECT md5(n || ' ' || build)::uuid, now(), now(), now()
FROM generate_series(1, {AGENTS}) AS n, generate_series(1, 10) AS build;
INSERT INTO workspace_builds (workspace_id, build_number, transition, job_id)
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


def coder(bench: Bench) -> Batches:
    """Measures a cached token of Coder beside an own one, and the look-ups of a new token."""
    with (
        StandInCoder() as server,
        beside(bench.service, CODERAPI_IDENTITY="coder", CODERAPI_CODER_URL=server.url) as other,
    ):
        url, owner = other.url + SSH, Person("coder-user", ("owner",))

        def with_new_token() -> str:
            return requests.with_token(server.add(Key(owner)).token)

        def look_ups(_: int) -> Figures:
            before, script = server.count(LOOK_UP), with_new_token()
            found = wrk(url, script=script, seconds=LOOK_UP_SECONDS, connections=CONNECTIONS)
            return {"look_ups": server.count(LOOK_UP) - before, "errors": found["errors"]}

        own = requests.with_token(bench.service.token)
        yield [
            Scenario(
                "ssh, cached token of Coder",
                load("token of Coder", url, with_new_token()),
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
        connection.execute(V2_34.tables.encode())
        connection.execute(ROWS)
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
