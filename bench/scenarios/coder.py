"""Running beside a Coder deployment: its tokens, with a stand-in for Coder, and its database."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from urllib.parse import urlsplit

import psycopg

from bench import requests
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, Figures, wrk
from bench.scenarios.base import SSH, Batches, Bench, load
from bench.service import TOKEN_HEADER, WORKERS, Service, beside
from tests.support.coder.releases import V2_34, V2_38, Release
from tests.support.coder.stand_in import Key, Person, StandInCoder

LOOKUP = "/api/v2/authcheck"
# The requests at the start of a load all need the same lookup.
LOOKUP_SECONDS = 1
# Each person sends a request in this interval, for this many intervals.
PEOPLE, INTERVAL_SECONDS, INTERVALS = 200, 30, 4
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
# Rows that are newer than those of the last run.
FOLLOWED = 50_000
ROW = """
    gen_random_uuid(), now() - n * interval '1 us', md5('u' || n)::uuid, md5('a' || n)::uuid,
    md5('w' || n)::uuid, md5('t')::uuid, '{"TCP": 3}', 3, 1000, n, 900, 7 * n, 1 + n % 997 / 7.0
"""
# The follower looks for late rows every two minutes. This takes as long as reading the rows.
NO_LATE_ROWS = """
UPDATE beside_readerprogress
SET (late_rows_read_at, settled_until) = (now(), last_row_created_at)
"""
FORMS = {
    V2_34.version: f"{ROW}, 1, 1 + n % 3, 1, 1, false",
    V2_38.version: f"""{ROW}, false, jsonb_build_object(
        'vscode', 1, 'jetbrains', 1 + n % 3, 'reconnecting_pty', 1, 'ssh', 1)""",
}
# A table whose rows count only four applications, in columns that are not null.
COLUMNS = """
SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = 'stats_agentstat'::regclass AND attnum > 0 AND attname <> 'other_sessions'
"""
FOUR_COLUMNS = """
CREATE TEMPORARY TABLE four_columns AS SELECT {columns} FROM stats_agentstat LIMIT 0;
ALTER TABLE four_columns ADD PRIMARY KEY (created_at, id);
CREATE INDEX ON four_columns (agent_id, created_at);
CREATE INDEX ON four_columns (created_at) WHERE is_usage;
CREATE TEMPORARY TABLE all_columns (LIKE stats_agentstat INCLUDING INDEXES);
INSERT INTO all_columns ({columns}) SELECT {columns} FROM stats_agentstat;
INSERT INTO four_columns SELECT {columns} FROM all_columns
"""
MAX_STORAGE = 1.1


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
            Scenario(
                f"requests to Coder for one of ours, {PEOPLE} people, one each "
                f"{INTERVAL_SECONDS} s for {INTERVALS * INTERVAL_SECONDS // 60} minutes",
                Measure("people", cache(partial(_asked, server, other)), needs_warm_up=False),
                at_most=1.3,
                figure="asked",
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
    by_name, by_kind = (_following(bench.service, release) for release in (V2_38, V2_34))
    yield [Scenario("agent rows followed, sessions by application", by_name, by_kind, at_least=0.9)]
    yield [
        Scenario(
            "storage of an agent row with four applications",
            Measure("all columns", _storage(bench.service, "all_columns"), needs_warm_up=False),
            Measure("four columns", _storage(bench.service, "four_columns"), needs_warm_up=False),
            at_most=MAX_STORAGE,
            figure="bytes",
        )
    ]


def _asked(server: StandInCoder, service: Service, _: int = 0) -> Figures:
    """Lets people send requests. Counts those of the last intervals, when all were seen before."""
    tokens = [server.add(Key(Person(f"person-{n}"))).token for n in range(PEOPLE)]
    begun, errors, before = time.monotonic(), 0, 0
    for number in range(PEOPLE * (1 + INTERVALS)):
        if number == PEOPLE:
            before = len(server.seen)
        due = begun + number * INTERVAL_SECONDS / PEOPLE
        time.sleep(max(0.0, due - time.monotonic()))
        # Each request has its own connection, so any of the processes may serve it.
        token = {TOKEN_HEADER: tokens[number % PEOPLE]}
        errors += service.request("GET", SSH, None, **token)[0] != 200
    return {"asked": (len(server.seen) - before) / (PEOPLE * INTERVALS), "errors": errors}


def _coder_database(service: Service, name: str, release: Release) -> str:
    """Creates a database with the tables of a release. Returns its URL."""
    with service.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = urlsplit(service.database_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(release.tables.encode())
    return url


def _following(service: Service, release: Release) -> Measure:
    """Returns a measure of the rows that the follower stores, without the time of its start."""
    url = _coder_database(service, f"coder_{'new' if release.counts_by_name else 'old'}", release)

    def run() -> float:
        with service.connect() as connection:
            connection.execute(NO_LATE_ROWS)
        command = "run_job", "follow_coder_database"
        return service.command(*command, CODERAPI_CODER_DATABASE_URL=url)

    def follow(_: int) -> Figures:
        started = run()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                f"INSERT INTO workspace_agent_stats SELECT {FORMS[release.version]}"  # noqa: S608
                f" FROM generate_series(1, {FOLLOWED}) AS n".encode()
            )
        return {"rate": FOLLOWED / max(run() - started, 0.001)}

    return Measure(str(release), follow, needs_warm_up=False)


def _storage(service: Service, table: str) -> Callable[[int], Figures]:
    """Returns a function that measures the size of a row with its indexes, after the follower."""

    def size(_: int) -> Figures:
        with service.connect() as connection:
            ((names,),) = connection.execute(COLUMNS).fetchall()
            for statement in FOUR_COLUMNS.format(columns=names).split(";"):
                connection.execute(statement.encode())
            query = f"SELECT pg_total_relation_size('{table}')::float8 / count(*) FROM {table}"  # noqa: S608
            ((found,),) = connection.execute(query.encode()).fetchall()
        return {"bytes": float(found)}  # type: ignore[arg-type]

    return size


def _followed(service: Service) -> Measure:
    """Returns a measure of the time that Coder's database is busy with our queries."""
    url = _coder_database(service, "coder", V2_34)
    with psycopg.connect(url, autocommit=True) as connection:
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
