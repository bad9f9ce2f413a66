"""`coderapi migrate`: its errors, two at once, and requests behind a migration that waits."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.commands import error_of, manage, manage_with, succeed
from tests.support.databases.tables import query
from tests.support.next_release import next_release
from tests.support.processes import own_database, wait_for
from tests.support.servers.live import ANY_PORT

# An empty database, whose encoding may be chosen.
EMPTY = "template0"

COLUMN = (
    "SELECT 1 FROM pg_attribute WHERE attrelid = 'tokens_apikey'::regclass AND attname = 'added'"
)


def test_two_at_once_wait_for_each_other() -> None:
    with own_database(like=EMPTY) as url, ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(succeed, "migrate", DATABASE_URL=url) for _ in range(2)]
        printed = [run.result() for run in runs]
    assert sorted("No migrations to apply." in text for text in printed) == [False, True]
    assert sum(text.count("Applying tokens.0001") for text in printed) == 1


def test_requests_pass_while_a_migration_waits_for_a_reader(tmp_path: Path) -> None:
    """The other session takes the place of requests: the lookup of a key may take 1.5 s."""
    manage_next = manage_with(next_release(tmp_path))
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
    with (
        own_database() as url,
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(url, autocommit=True) as other,
    ):
        other.execute("SET lock_timeout = '1.5s'")
        with psycopg.connect(url) as reader:
            reader.execute("SELECT count(*) FROM tokens_apikey")
            migration = thread.submit(manage_next, "migrate", DATABASE_URL=url)
            for _ in range(2):
                wait_for(lambda: other.execute(waiting).fetchone())
                other.execute("DELETE FROM tokens_apikey")
            assert not migration.done()
        done = migration.result()
        assert done.returncode == 0, done.stderr
        assert "A migration waits for a table" in done.stderr
        assert other.execute(COLUMN).fetchone()


@contextmanager
def as_role(url: str, granted: str = "") -> Iterator[str]:
    """Yields the URL of the database for a new role with these rights."""
    role = f"role_{uuid.uuid4().hex}"
    query(url, f"CREATE ROLE {role}; {granted.format(role=role)}")
    try:
        yield f"{url}{'&' if '?' in url else '?'}options=-crole%3D{role}"
    finally:
        query(url, f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("command", ["migrate", "server"])
@pytest.mark.parametrize(
    ("options", "change", "error"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C'", "SELECT 1", " has the encoding LATIN1, "),
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", "SELECT 1", " has the encoding SQL_ASCII, "),
        ("", "REVOKE CREATE ON SCHEMA public FROM public", " may not create tables in the schema "),
        ("", "DROP SCHEMA public", " may not create tables in any schema of "),
    ],
)
def test_unusable_database_is_explained(
    command: str, options: str, change: str, error: str, tmp_path: Path
) -> None:
    with own_database(like=f"{EMPTY} {options}") as url:
        query(url, change)
        with as_role(url) as limited:
            refused = error_of(
                *(command, *(["--http-address", ANY_PORT] if command == "server" else [])),
                DATABASE_URL=limited,
                CODERAPI_DATA_DIR=str(tmp_path),
            )
    assert (error in refused, len(refused.splitlines())) == (True, 1)


def test_role_that_does_not_own_the_tables_is_explained(tmp_path: Path) -> None:
    rights = "GRANT CREATE ON SCHEMA public TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA public"
    with own_database() as url, as_role(url, f"{rights} TO {{role}}") as limited:
        newer = str(next_release(tmp_path))
        refused = error_of("migrate", by=newer, DATABASE_URL=limited)
    assert "lacks a right: must be owner of table tokens_apikey." in refused


def test_plan_and_check_show_what_is_missing(tmp_path: Path) -> None:
    manage_next = manage_with(next_release(tmp_path))
    with own_database() as url:
        assert manage_next("migrate", "--check", DATABASE_URL=url).returncode == 1
        assert (
            "Add field added to apikey" in manage_next("migrate", "--plan", DATABASE_URL=url).stdout
        )
        assert manage_next("migrate", "--no-input", DATABASE_URL=url).returncode == 0
        assert manage_next("migrate", "--check", DATABASE_URL=url).returncode == 0


def test_what_would_destroy_data_is_refused() -> None:
    with own_database() as url:
        before = query(url, "SELECT count(*), max(id) FROM django_migrations")
        for line in (
            *("migrate csp zero", "migrate csp 0001 --fake", "migrate --fake-initial"),
            *("migrate csp --prune", "migrate --run-syncdb", "flush --no-input", "loaddata x.json"),
        ):
            done = manage(*line.split(), DATABASE_URL=url)
            assert (done.returncode, done.stdout) == (2, ""), line
            assert "`coderapi restore FILE`" in done.stderr.replace("\n", " "), line
        assert query(url, "SELECT count(*), max(id) FROM django_migrations") == before
        assert query(url, "SELECT count(*) FROM csp_noiserule") != [(0,)]


INDEX = """
    atomic = False
    from kernel.db.indexes import AddPartitionedIndex
    index = models.Index(fields=["target_name"], name="entry_by_name")
    operations = [AddPartitionedIndex("entry", index)]
"""
# Whether the index of the table is valid, and the number of partitions with a valid index of it.
BUILT = """
SELECT indisvalid, (
    SELECT count(*) FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid
    WHERE inhparent = i.indexrelid AND indisvalid
) FROM pg_index i WHERE indexrelid = to_regclass('entry_by_name')
"""
END_BUILDER = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query ~ '^CREATE INDEX CONCURRENTLY' AND wait_event_type = 'Lock'
    AND datname = current_database()
"""


def test_interrupted_index_of_a_partitioned_table_is_finished_by_the_next_run(
    tmp_path: Path,
) -> None:
    manage_next = manage_with(next_release(tmp_path, app="audit", body=INDEX))
    with (
        own_database() as url,
        ThreadPoolExecutor(1) as thread,
        psycopg.connect(url, autocommit=True) as other,
    ):
        for year in (2001, 2002, 2003):
            other.execute(
                f"CREATE TABLE audit_entry_p{year}01010000 PARTITION OF audit_entry"
                f" FOR VALUES FROM ('{year}-01-01') TO ('{year}-02-01')"
            )

        def migrated() -> subprocess.CompletedProcess[str]:
            return manage_next("migrate", DATABASE_URL=url)

        with psycopg.connect(url) as writer:
            # The build of the second partition waits for this transaction.
            writer.execute("LOCK TABLE audit_entry_p200201010000 IN ROW EXCLUSIVE MODE")
            migration = thread.submit(migrated)
            wait_for(lambda: other.execute(END_BUILDER).fetchone())
            assert migration.result().returncode == 1
        assert other.execute(BUILT).fetchone() == (False, 1)
        done = migrated()
        assert done.returncode == 0, done.stderr
        partitions = other.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_entry'::regclass"
        ).fetchone()
        assert other.execute(BUILT).fetchone() == (True, *(partitions or ()))
