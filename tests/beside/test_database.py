"""The follower, the check and the import of history, on a database with Coder's tables."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import orjson
import psycopg
import pytest
from django.core.management import CommandError
from django.db.models import F
from django.test import override_settings

from beside.checks.database import findings
from beside.database import workspaces
from beside.models import ReaderProgress
from kernel.admin import State
from stats.ingest.members import PLAIN
from stats.models import KIND_COLUMNS
from tests.support.api.client import browser_of
from tests.support.coder.releases import SESSION_KINDS, V2_34, V2_38, Release
from tests.support.coder.stand_in import StandInCoder
from tests.support.coder.tables import (
    BUILDS,
    RUNNING,
    STATES,
    insert,
    insert_agent_row,
    make_tables,
)
from tests.support.commands import run
from tests.support.factories import make_user
from tests.support.processes import free_port, own_database, wait_for
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    SECOND,
    Deployment,
    agent_row,
    agrees,
    deployment_at,
    gauges,
)

FOLLOW = "follow_coder_database"


class CoderDatabase:
    """A database with Coder's tables, and a connection that writes to it as coderd does."""

    def __init__(
        self, url: str, now: datetime, rows: list[dict[str, Any]], release: Release
    ) -> None:
        self.url, self.now, self.rows, self.release = url, now, rows, release

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def api_rows(self) -> list[dict[str, Any]]:
        return [row | {"connections_by_proto": {}} for row in self.rows]

    def report(self, ago: timedelta, *, agent: int = 1, **members: Any) -> None:
        """Inserts a row of an agent."""
        row = agent_row(self.now - ago, agent=agent, workspace_id=RUNNING, **members)
        with psycopg.connect(self.url) as connection:
            insert_agent_row(connection, row, self.release)
        self.rows.append(row)

    def build(self, workspace: int, number: int, transition: str, **job: Any) -> None:
        """Inserts a build and its job, and the workspace with its first build."""
        ids = {"workspace_id": uuid.UUID(int=workspace), "job_id": uuid.uuid4()}
        with psycopg.connect(self.url) as connection:
            if number == 1:
                insert(connection, "workspaces", {"id": ids["workspace_id"], "deleted": False})
            build = {**ids, "build_number": number, "transition": transition}
            insert(connection, "workspace_builds", build)
            job = {"id": ids["job_id"], "updated_at": job.get("started_at"), **job}
            insert(connection, "provisioner_jobs", job)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Makes a database for all tests, because making one takes a quarter of a second."""
    with own_database(like="template1") as url:
        yield url


@pytest.fixture(params=[V2_34, V2_38], ids=str)
def release(request: pytest.FixtureRequest) -> Release:
    """Runs the test on both forms of the table of agent rows. Coder 2.25 has the one of 2.34."""
    found: Release = request.param
    return found


@pytest.fixture
def database(url: str, settings: Any, release: Release) -> CoderDatabase:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT now()").fetchone()
    assert row
    settings.CODER_DATABASE_URL = url
    return CoderDatabase(url, row[0], make_tables(url, row[0], release), release)


@pytest.fixture
def deployment(db: None, database: CoderDatabase) -> Iterator[Deployment]:
    with deployment_at(database.now) as deployment:
        yield deployment


def states(snapshot: dict[str, Any]) -> dict[str, int]:
    return {state: snapshot["workspaces"][state] for state in STATES}


def assert_complete(deployment: Deployment, database: CoderDatabase) -> None:
    """Asserts that a snapshot has all agent rows and all workspaces."""
    snapshot = deployment.collect()
    agrees(snapshot, database.api_rows())
    assert states(snapshot) == STATES


def card() -> str:
    """Returns the card about Coder's database on the admin's home page."""
    page = browser_of(make_user("owner")).get("/admin/").text
    return page.partition("Coder&#x27;s database</h2>")[2].partition("</section>")[0]


# --- Following --------------------------------------------------------------------------------


def test_new_and_late_rows_count_once(deployment: Deployment, database: CoderDatabase) -> None:
    first = len(database.rows) + len(BUILDS)
    newest = max(datetime.fromisoformat(row["created_at"]) for row in database.rows)

    def follow() -> int:
        return int(deployment.job(FOLLOW).split()[2])

    assert follow() == first
    database.report(SECOND)
    for age in (MINUTE, 2 * MINUTE - SECOND):
        database.report(database.now - newest + age, agent=2)
    assert follow() == 1
    # The follower looks for late rows every two minutes, even if no newer row arrives.
    deployment.travel(2 * MINUTE)
    assert (follow(), follow()) == (2, 0)
    # This simulates a process that was killed before it stored the position.
    ReaderProgress.objects.update(last_row_created_at=database.now - 10 * MINUTE)
    assert follow() == 0
    assert_complete(deployment, database)


@pytest.mark.parametrize("release", [V2_34], ids=str)
def test_database_without_an_encoding_is_read(
    db: None, settings: Any, release: Release, coder: StandInCoder
) -> None:
    # The limit of 1,000 bytes cuts a character of the error.
    error = "exit status 1: " + "x" * 984 + "ä"
    with own_database(like="template0 ENCODING 'SQL_ASCII' LOCALE 'C'") as url:
        settings.CODER_DATABASE_URL = url
        rows = make_tables(url, now := datetime.now(UTC), release)
        found = CoderDatabase(url, now, rows, release)
        with psycopg.connect(url, client_encoding="UTF8") as connection:
            connection.execute("UPDATE provisioner_jobs SET error = %s WHERE error <> ''", [error])
        with deployment_at(now) as deployment:
            deployment.job(FOLLOW)
            assert_complete(deployment, found)
        assert State.BAD not in {each.state for each in findings(now)}


def test_newest_row_is_unknown_before_the_first_one(
    deployment: Deployment, database: CoderDatabase
) -> None:
    age = ("coderapi_coder_database_newest_row_age_seconds",)
    database.execute("TRUNCATE workspace_agent_stats")
    deployment.job(FOLLOW)
    assert (">never<" in card(), gauges().get(age)) == (True, None)
    database.report(SECOND)
    deployment.job(FOLLOW)
    assert ">never<" not in card()
    assert gauges()[age] == pytest.approx(1, abs=0.01)


def test_switch_to_a_replica_that_lags_loses_nothing(
    deployment: Deployment, database: CoderDatabase
) -> None:
    deployment.job(FOLLOW)
    # This simulates four minutes.
    ReaderProgress.objects.update(
        settled_until=F("settled_until") - 4 * MINUTE,
        late_rows_read_at=F("late_rows_read_at") - 4 * MINUTE,
    )
    not_received = "FROM workspace_agent_stats WHERE created_at > now() - interval '10 min'"
    database.execute(f"CREATE TABLE later AS SELECT * {not_received}", f"DELETE {not_received}")
    deployment.job(FOLLOW)
    deployment.travel(HOUR)
    assert "60 min ago" in card().partition("newest agent row")[2]
    deployment.travel(-HOUR)
    database.execute("INSERT INTO workspace_agent_stats SELECT * FROM later")
    database.report(5 * MINUTE)
    deployment.travel(2 * MINUTE)
    assert deployment.job(FOLLOW) == f"Job {FOLLOW}: 1 row."
    agrees(deployment.collect(), database.api_rows())


def test_workspaces_follow_their_builds(deployment: Deployment, database: CoderDatabase) -> None:
    deployment.job(FOLLOW)
    database.build(50, 1, "start", started_at=database.now)
    deployment.job(FOLLOW)
    assert states(deployment.collect()) == STATES | {"building": 2}
    # The job of workspace 50 ends, workspace 2 (building) is canceled, and 3 (running) is deleted.
    # coderd does not change `updated_at` when it cancels a job.
    database.execute(
        "UPDATE provisioner_jobs SET completed_at = now() WHERE started_at IS NOT NULL"
        " AND id = (SELECT job_id FROM workspace_builds WHERE workspace_id::text LIKE '%32')",
        "UPDATE provisioner_jobs SET canceled_at = now() + interval '1 h', completed_at = now()"
        " WHERE canceled_at IS NULL AND completed_at IS NULL AND started_at IS NOT NULL",
        "UPDATE workspaces SET deleted = true WHERE id::text LIKE '%-000000000003'",
    )
    # Workspaces of other sources stay.
    deployment.take({"workspace_id": str(uuid.UUID(int=77))}, kind="workspace")
    deployment.job(FOLLOW)
    expected = STATES | {"building": 0, "running": 1, "pending": 4}
    assert states(deployment.collect()) == expected
    deployment.job(FOLLOW)
    assert states(deployment.collect()) == expected


def test_a_run_reads_a_bounded_number_of_workspaces(
    deployment: Deployment, database: CoderDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspaces, "WORKSPACES", 4)
    found = []
    # Nine workspaces are not deleted.
    for _ in range(3):
        deployment.job(FOLLOW)
        found.append(sum(states(deployment.collect()).values()))
    assert found == [4, 7, 8]
    assert states(deployment.collect()) == STATES
    database.build(3, 3, "stop", started_at=database.now, completed_at=database.now)
    deployment.job(FOLLOW)
    assert states(deployment.collect()) == STATES | {"running": 0, "stopped": 2}


def test_unknown_transition_is_shown_and_skipped(
    deployment: Deployment, database: CoderDatabase
) -> None:
    deployment.job(FOLLOW)
    database.execute("ALTER TYPE workspace_transition ADD VALUE 'hibernate'")
    database.build(50, 1, "hibernate", started_at=database.now)
    database.build(51, 1, "start", started_at=database.now, completed_at=database.now)
    assert deployment.job(FOLLOW) == f"Job {FOLLOW}: 1 row."
    assert states(deployment.collect()) == STATES | {"running": 2}
    problem = "1 row skipped: transition &#x27;hibernate&#x27; is not start, stop or delete."
    assert problem in card()


def test_rows_that_coder_deleted_meanwhile_are_reported(
    deployment: Deployment, database: CoderDatabase
) -> None:
    deployment.job(FOLLOW)
    assert "gap" not in card()
    ReaderProgress.objects.update(last_row_created_at=database.now - 30 * HOUR)
    deployment.job(FOLLOW)
    first = database.now - 30 * HOUR
    assert f"Agent rows from {first:%Y-%m-%d %H:%M} to" in card()


@pytest.mark.parametrize("problem", ["away", "wrong password", "not a URL"])
def test_database_that_cannot_be_reached_is_named_without_its_password(
    deployment: Deployment, database: CoderDatabase, settings: Any, problem: str
) -> None:
    server = urlsplit(database.url)
    where = f"{server.hostname}:{server.port if problem != 'away' else free_port()}"
    scheme = "postgresql" if problem != "not a URL" else "postgresql "
    settings.CODER_DATABASE_URL = f"{scheme}://nobody:planted-secret@{where}{server.path}"
    for command in (["run_job", FOLLOW], ["check_coder"], ["import_coder_history"]):
        with pytest.raises(CommandError) as raised:
            run(*command)
        assert "planted" not in str(raised.value)
        # Nothing has begun that could continue.
        assert "again to continue" not in str(raised.value)
    (finding,) = findings(database.now)
    assert "planted" not in finding.message
    assert "state-failed" in card()


@pytest.mark.parametrize(
    ("rename", "names", "error"),
    [
        (
            "provisioner_jobs RENAME {} TO {}",
            ("error", "mistake"),
            "column j.error does not exist. `coderapi check_coder` lists",
        ),
        ("{} RENAME TO {}", ("workspace_builds", "builds"), 'relation "workspace_builds" does not'),
    ],
)
def test_faults_are_named_and_lose_nothing(
    deployment: Deployment, database: CoderDatabase, rename: str, names: tuple[str, str], error: str
) -> None:
    database.execute(f"ALTER TABLE {rename.format(*names)}")
    with pytest.raises(CommandError, match=error):
        deployment.job(FOLLOW)
    assert "cannot be read" in card()
    reading = ReaderProgress.objects.get()
    assert reading.settled_until == reading.last_row_created_at - 2 * MINUTE
    database.execute(f"ALTER TABLE {rename.format(*reversed(names))}")
    deployment.job(FOLLOW)
    assert_complete(deployment, database)
    assert "cannot be read" not in card()


def test_connection_that_ends_during_a_run_loses_nothing(
    deployment: Deployment, database: CoderDatabase
) -> None:
    ended = b"""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    with (
        psycopg.connect(database.url) as locking,
        psycopg.connect(database.url, autocommit=True) as ending,
    ):
        locking.execute("LOCK TABLE workspaces")
        end = partial(wait_for, lambda: ending.execute(ended).fetchall())
        thread = threading.Thread(target=end)
        thread.start()
        with pytest.raises(CommandError, match="terminating connection"):
            deployment.job(FOLLOW)
        thread.join()
        with pytest.raises(CommandError, match="A table is locked"):
            deployment.job(FOLLOW)
    deployment.job(FOLLOW)
    assert_complete(deployment, database)


@pytest.mark.parametrize(
    "case",
    [
        (["workspace-usage"], [], 5),
        ([], ["workspace-usage"], 9),
        (None, ["workspace-usage"], 5),
        (None, [], 9),
    ],
)
def test_sessions_follow_the_experiment_of_coder(
    deployment: Deployment, database: CoderDatabase, coder: StandInCoder, settings: Any, case: Any
) -> None:
    coder_has, own, expected = case
    settings.EXPERIMENTS = own
    database.execute("TRUNCATE workspace_agent_stats")
    for usage, sessions in ((True, 2), (True, 3), (False, 9)):
        members: dict[str, Any] = {"session_count_ssh": sessions, "usage": usage}
        members["connections_by_proto"] = {}
        database.report(5 * MINUTE - sessions * timedelta(microseconds=1), **members)
    if coder_has is None:
        settings.CODER_TOKEN = ""
    coder.experiments = coder_has or []
    deployment.job(FOLLOW)
    # An answer is remembered while Coder is away.
    coder.fault = "500"
    deployment.job(FOLLOW)
    assert deployment.collect()["session_count"]["ssh"] == expected


# --- Upgrades of Coder ------------------------------------------------------------------------

ADD_COLUMN = "ALTER TABLE workspace_agent_stats ADD session_counts jsonb NOT NULL DEFAULT '{}'"
CONVERT = f"""
UPDATE workspace_agent_stats SET session_counts = (
    SELECT coalesce(jsonb_object_agg(name, n) FILTER (WHERE n > 0), '{{}}')
    FROM (VALUES {", ".join(f"('{kind}', session_count_{kind})" for kind in SESSION_KINDS)})
    AS counts (name, n)
) WHERE created_at >= now() - interval '1 day'
"""  # noqa: S608 - the names are constants
DROP_COLUMNS = f"""
ALTER TABLE workspace_agent_stats {", ".join(f"DROP session_count_{k}" for k in SESSION_KINDS)}
"""
# In a large deployment, this takes minutes.
LOCK_SECONDS = 2.5
OURS = b"""SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'coderapi'"""


def upgrade(database: CoderDatabase, *, at_once: bool, seconds: float = 0) -> None:
    """Replaces the columns as Coder's migration does, or in three transactions."""
    lock = "LOCK TABLE workspace_agent_stats IN ACCESS EXCLUSIVE MODE"
    wait = f"SELECT pg_sleep({seconds})"
    if at_once:
        return database.execute(lock, ADD_COLUMN, wait, CONVERT, DROP_COLUMNS)
    database.execute(ADD_COLUMN)
    database.execute(CONVERT, wait)
    # Converts the rows that arrived meanwhile, too.
    return database.execute(lock, CONVERT, DROP_COLUMNS)


def report_until(stopped: threading.Event, database: CoderDatabase, agents: range) -> None:
    """Writes a row of another agent every 50 ms, in the form that the table has at the time."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        for agent in agents:
            counted = {"session_count_ssh": agent % 3, "connections_by_proto": {}, "rx_bytes": 1}
            row = agent_row(datetime.now(UTC), agent=agent, **counted)
            try:
                insert_agent_row(connection, row, V2_34)
            except psycopg.errors.UndefinedColumn:
                insert_agent_row(connection, row, V2_38)
            database.rows.append(row)
            if stopped.wait(0.05):
                return


@pytest.mark.parametrize("release", [V2_34], ids=str)
@pytest.mark.parametrize("at_once", [True, False])
def test_upgrade_of_a_followed_coder_loses_and_doubles_nothing(
    deployment: Deployment, database: CoderDatabase, at_once: bool
) -> None:
    deployment.job(FOLLOW)
    stopped, problems, cards = threading.Event(), set(), []
    with ThreadPoolExecutor(3) as pool:
        # Two writers, so that a row can arrive after a later one.
        for agents in (range(100, 5_000), range(5_000, 10_000)):
            pool.submit(report_until, stopped, database, agents)
        upgrading = pool.submit(upgrade, database, at_once=at_once, seconds=LOCK_SECONDS)
        while not upgrading.done():
            try:
                deployment.job(FOLLOW)
            except CommandError as error:
                problems.add(str(error).rpartition(": ")[2])
                cards.append(card())
        upgrading.result()
        deployment.job(FOLLOW)
        stopped.set()
    deployment.travel(2 * MINUTE)
    deployment.job(FOLLOW)
    agrees(deployment.collect(), database.api_rows())
    locked = "A table is locked, probably because Coder is being upgraded."
    assert problems == ({locked} if at_once else set())
    assert all(locked in page and "newest agent row" in page for page in cards)
    with psycopg.connect(database.url, autocommit=True) as connection:
        # PostgreSQL lists a connection for a moment after its end.
        wait_for(lambda: connection.execute(OURS).fetchone() == (0,))


@pytest.mark.parametrize("release", [V2_34], ids=str)
def test_sessions_that_coder_lost_in_its_upgrade_are_unknown(
    deployment: Deployment, database: CoderDatabase
) -> None:
    database.execute("TRUNCATE workspace_agent_stats")
    database.rows.clear()
    for hours in (30, 29, 27, 20):
        database.report(hours * HOUR, session_count_ssh=2, rx_bytes=1, connections_by_proto={})
    # This row was read before the upgrade.
    deployment.take(database.api_rows()[0])
    upgrade(database, at_once=True)
    database.release = V2_38
    # A row without sessions that is newer than a row with sessions.
    database.report(19 * HOUR, agent=2, connections_by_proto={}, rx_bytes=0)
    message = run("import_coder_history")
    assert "Coder does not have the sessions of 2 agent rows any more." in message
    points = deployment.points(database.now - 31 * HOUR, database.now, "1h")
    found = [point for point in points if "is_gap" not in point and point["workspaces"]["rx_bytes"]]
    sessions = [point.get("session_count", {}).get("ssh") for point in found]
    assert sessions == [2, None, None, 2]


# --- The check --------------------------------------------------------------------------------


@pytest.fixture
def reader_url(database: CoderDatabase) -> Iterator[str]:
    """Creates the role of `--grant-sql`, with a name of its own. Yields its URL."""
    role = f"reader_{uuid.uuid4().hex}"
    sql = run("check_coder", "--grant-sql").replace("coderapi_reader", role)
    database.execute(sql)
    parts = urlsplit(database.url)
    host = f"{role}:choose-a-password@{parts.hostname or ''}:{parts.port or ''}".rstrip(":")
    yield urlunsplit(parts._replace(netloc=host))
    database.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_role_of_grant_sql_can_read_and_not_write(
    deployment: Deployment, database: CoderDatabase, settings: Any, reader_url: str
) -> None:
    settings.CODER_DATABASE_URL = reader_url
    # A replica allows no writes and no temporary tables either.
    name = urlsplit(database.url).path[1:]
    database.execute(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    with override_settings(CODER_URL=""):
        lines = [orjson.loads(line) for line in run("check_coder", "--json").splitlines()]
    assert {line["state"] for line in lines} == {"ok"}
    deployment.job(FOLLOW)
    assert states(deployment.collect()) == STATES
    run("import_coder_history")
    with psycopg.connect(reader_url, autocommit=True) as connection:
        for statement in (
            b"DELETE FROM workspace_agent_stats",
            b"INSERT INTO workspaces (id) VALUES (gen_random_uuid())",
            b"UPDATE provisioner_jobs SET error = ''",
            b"SELECT name FROM workspaces",
            b"CREATE TABLE own (id int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    role = urlsplit(reader_url).username
    database.execute(f"REVOKE SELECT (error) ON provisioner_jobs FROM {role}")  # noqa: S608
    denied = r"permission denied .* check_coder` prints the statement"
    with pytest.raises(CommandError, match=denied):
        deployment.job(FOLLOW)


@pytest.mark.parametrize("release", [V2_34], ids=str)
def test_role_of_grant_sql_can_read_a_new_column(
    deployment: Deployment, database: CoderDatabase, settings: Any, reader_url: str
) -> None:
    settings.CODER_DATABASE_URL = reader_url
    deployment.job(FOLLOW)
    upgrade(database, at_once=True)
    deployment.job(FOLLOW)
    assert {each.state for each in findings(database.now)} == {State.GOOD}


@pytest.mark.parametrize("release", [V2_34], ids=str)
def test_role_without_the_right_is_told_the_statement(
    deployment: Deployment, database: CoderDatabase, settings: Any, reader_url: str
) -> None:
    settings.CODER_DATABASE_URL, role = reader_url, urlsplit(reader_url).username
    names = ", ".join((*PLAIN, *KIND_COLUMNS))
    database.execute(
        f"REVOKE SELECT ON workspace_agent_stats FROM {role}",  # noqa: S608
        f"GRANT SELECT ({names}) ON workspace_agent_stats TO {role}",
    )
    deployment.job(FOLLOW)
    upgrade(database, at_once=True)
    statement = f"GRANT SELECT ON workspace_agent_stats TO {role};"
    with pytest.raises(CommandError, match="`coderapi check_coder` prints the statement"):
        deployment.job(FOLLOW)
    (finding,) = [each for each in findings(database.now) if each.state is State.BAD]
    assert finding.fix == statement
    database.execute(statement)
    database.release = V2_38
    database.report(SECOND)
    assert deployment.job(FOLLOW) == f"Job {FOLLOW}: 1 row."


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u@h?dbname=x", "x"),
        ("postgresql://u@a:1,b:2/x", "x"),
        ("postgresql://u@[::1/x", "coder"),
        ("", "coder"),
    ],
)
def test_grant_sql_names_the_database_of_the_url(settings: Any, url: str, name: str) -> None:
    settings.CODER_DATABASE_URL = url
    assert f'ON DATABASE "{name}"' in run("check_coder", "--grant-sql")


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "ALTER TABLE provisioner_jobs DROP error",
            "column provisioner_jobs.error is missing. Use the releases",
        ),
        ("DROP TABLE workspaces", "table workspaces is missing. CODERAPI_CODER_DATABASE_URL="),
        (
            "ALTER TABLE workspace_agent_stats DROP IF EXISTS session_counts,"
            " DROP IF EXISTS session_count_ssh",
            "column workspace_agent_stats.session_count",
        ),
        ("SELECT 1", "The role may write workspace_agent_stats, workspaces,"),
        ("SELECT 1", "The oldest agent row is from"),
        ("TRUNCATE workspace_agent_stats", "agent rows is empty"),
    ],
)
def test_check_names_each_mismatch(database: CoderDatabase, statement: str, finding: str) -> None:
    database.execute(statement)
    assert finding in " ".join(f"{each.message} {each.fix}" for each in findings(database.now))


# --- History ----------------------------------------------------------------------------------


@pytest.fixture
def start(database: CoderDatabase) -> datetime:
    """Makes ten hours of builds, and agent rows in the last three. Returns the first hour."""
    tables = "workspace_agent_stats, workspaces, workspace_builds, provisioner_jobs"
    database.execute(f"TRUNCATE {tables}")
    start = database.now.replace(minute=0, second=0, microsecond=0) - 10 * HOUR

    def job(hours: float, minutes: int = 5, **members: Any) -> dict[str, Any]:
        started = start + hours * HOUR
        return {"started_at": started, "completed_at": started + minutes * MINUTE, **members}

    database.build(1, 1, "start", **job(0.1))
    database.build(1, 2, "stop", **job(2.5))
    database.build(1, 3, "start", **job(4.5, minutes=60))
    database.build(2, 1, "start", **job(1.5, error="exit status 1"))
    database.build(2, 2, "delete", **job(3.5))
    database.build(3, 1, "start", **job(6.5, canceled_at=start + 6.55 * HOUR))
    database.execute("UPDATE workspaces SET deleted = true WHERE id::text LIKE '%2'")
    for hours in (7.5, 8.5, 9.5):
        ago = database.now - (start + hours * HOUR)
        database.report(ago, session_count_ssh=2, connections_by_proto={})
    return start


def test_history_counts_workspaces_from_their_builds(
    deployment: Deployment, database: CoderDatabase, start: datetime
) -> None:
    deployment.travel(start + 1.5 * HOUR)
    collected = deployment.collect()
    deployment.travel(database.now)
    message = run("import_coder_history")
    assert message.startswith("3 agent rows imported, 0 duplicates; Coder has rows since ")
    assert "3 workspaces with builds; Coder has builds since " in message
    again = run("import_coder_history")
    assert "0 agent rows imported" in again
    assert again.endswith(" 0 snapshots backfilled.")
    found = deployment.points(start, start + 10 * HOUR, "1h")
    names = ("building", "running", "failed", "stopped")
    counts = ["".join(str(point["workspaces"][name]) for name in names) for point in found]
    # The second hour has the snapshot that was collected, before any build was known.
    assert counts == ["0100", "0000", "0011", "0001", "1000", *["0100"] * 5]
    sessions = [point.get("session_count", {}).get("ssh") for point in found]
    assert sessions == [None, 0, *[None] * 5, 2, 2, 2]
    assert deployment.at(start + 2 * HOUR - MINUTE)["collected_at"] == collected["collected_at"]


def test_stopped_import_continues(deployment: Deployment, database: CoderDatabase) -> None:
    database.execute("ALTER TABLE workspace_builds RENAME TO builds")
    with pytest.raises(CommandError, match=r"does not exist.* Run the command again"):
        run("import_coder_history")
    database.execute("ALTER TABLE builds RENAME TO workspace_builds")
    deployment.job(FOLLOW)
    # The import has committed its position after the rows. Late rows are read again.
    reading = ReaderProgress.objects.get(reader_name="history")
    newest = max(datetime.fromisoformat(row["created_at"]) for row in database.rows)
    assert reading.last_row_created_at == newest
    message = run("import_coder_history")
    assert message.startswith("0 agent rows imported, ")
    assert "builds skipped" not in message
    agrees(deployment.collect(), database.api_rows())
