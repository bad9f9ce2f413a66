"""Running beside a Coder deployment: its tokens, with a stand-in for Coder, and its database."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg

from bench import requests
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, wrk
from bench.scenarios.base import SSH, Batches, Bench, load
from bench.service import WORKERS, Service, beside
from tests.support.coder.releases import V2_34
from tests.support.coder.stand_in import Key, Person, StandInCoder

LOOKUP = "/api/v2/authcheck"
# The requests at the start of a load all need the same lookup.
LOOKUP_SECONDS = 1
LIMITS = "/api/v2/users/me/keys/tokens/tokenconfig"
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
    """Measures cached tokens of Coder beside own ones, and the requests to Coder."""
    with (
        StandInCoder() as server,
        beside(bench.service, CODERAPI_USER_SOURCE="coder", CODERAPI_CODER_URL=server.url) as other,
    ):
        owner = Person("coder-user", ("owner",))

        def with_new_token() -> str:
            return requests.with_token(server.add(Key(owner)).token)

        def lookups(_: int) -> Figures:
            before, script = server.count(LOOKUP), with_new_token()
            found = wrk(
                other.url + SSH, script=script, seconds=LOOKUP_SECONDS, connections=CONNECTIONS
            )
            return {"lookups": server.count(LOOKUP) - before, "errors": found["errors"]}

        own, theirs = requests.with_token(bench.service.token), with_new_token()
        yield [
            *(
                Scenario(
                    f"{name}, cached token of Coder",
                    load(f"{name}, token of Coder", other.url + path, theirs),
                    load(f"{name}, own token", bench.service.url + path, own),
                    at_least=minimum,
                )
                for name, path, minimum in (("ssh", SSH, 0.95), ("tokenconfig", LIMITS, 0.5))
            ),
            Scenario(
                f"lookups in Coder, {CONNECTIONS} connections with a new token",
                Measure("new token", lookups, needs_warm_up=False),
                at_most=WORKERS,
                figure="lookups",
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
