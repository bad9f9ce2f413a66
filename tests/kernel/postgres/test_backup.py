"""Backups of our own schema, and restores over existing data."""

from __future__ import annotations

import dataclasses
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coderapi import __version__
from coderapi.management.commands.restore import own_tables
from kernel.db.replicas import PREFIX
from kernel.postgres import PostgresError, backup, replacement
from kernel.postgres.clients import target
from tests.support.commands import manage, manage_with
from tests.support.databases.tables import TABLES, row_counts
from tests.support.factories import PASSWORD, utc
from tests.support.next_release import NAME, next_release
from tests.support.processes import database_name, own_database

KEY = "the-key-of-the-backup-which-is-long-enough-for-django-1234567890"
OTHER_KEY = f"another-{KEY}"


@pytest.fixture(scope="module")
def full() -> Iterator[str]:
    """A database with the rows of the migrations, of a user and of the audit trail."""
    with own_database() as url:
        new = ("--role", "owner", "--username", "ada", "--email", "ada@example.com")
        made = manage("create_user", *new, typed=f"{PASSWORD}\n", DATABASE_URL=url)
        assert made.returncode == 0, made.stderr
        yield url


def contents(url: str) -> dict[str, object]:
    """Returns a digest of each table's rows."""
    digest = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(TABLES)]
        return {name: connection.execute(digest.format(name)).fetchone() for name in names}


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


# --- A named server ---------------------------------------------------------------------------


@pytest.fixture
def original(full: str) -> Iterator[str]:
    """A copy, because a backup adds an entry to the audit trail."""
    with own_database(like=database_name(full)) as url:
        yield url


def test_backup_goes_round_trip_over_existing_data(original: str, tmp_path: Path) -> None:
    before, file = contents(original), tmp_path / "a.backup"
    # Afterwards there is one more row: the entry of the backup in the audit trail.
    tables, rows = len(before), sum(row_counts(original).values())
    umask = os.umask(0)
    try:
        made = manage("backup", str(file), DATABASE_URL=original, CODERAPI_SECRET_KEY=KEY)
    finally:
        os.umask(umask)
    assert made.returncode == 0, made.stderr
    assert f"A test restored {tables} tables with {rows} rows from it." in made.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a.backup"]
    assert file.stat().st_mode & 0o777 == 0o600
    again = manage("backup", str(file), DATABASE_URL=original, CODERAPI_SECRET_KEY=KEY)
    assert "a.backup exists already: name another file." in again.stderr
    with own_database(like=database_name(original)) as other:
        execute(other, "DELETE FROM users_user; INSERT INTO auth_group VALUES (9, 'new')")
        assert contents(other) != before
        given = {"DATABASE_URL": other, "CODERAPI_SECRET_KEY": OTHER_KEY}
        done = manage("restore", str(file), "--yes", **given)
        assert done.returncode == 0, done.stderr
        assert f"Restored {tables} tables with {rows} rows from {file} of 20" in done.stdout
        assert "CODERAPI_SECRET_KEY differs" in done.stdout
        assert KEY not in done.stdout
        assert contents(other) == before
        assert manage("migrate", "--check", **given).returncode == 0


@pytest.fixture(scope="module")
def backed_up(full: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = str(tmp_path_factory.mktemp("backup") / "a.backup")
    with own_database(like=database_name(full)) as url:
        made = manage("backup", file, DATABASE_URL=url, CODERAPI_SECRET_KEY=KEY)
    assert made.returncode == 0, made.stderr
    return file


@pytest.fixture
def changed(full: str) -> Iterator[str]:
    """A database with more rows than the backup."""
    with own_database(like=database_name(full)) as url:
        execute(url, "INSERT INTO auth_group VALUES (9, 'new')")
        yield url


def test_backup_replaces_existing_data_after_a_yes(full: str, changed: str, backed_up: str) -> None:
    before = contents(changed)
    given = {"DATABASE_URL": changed, "CODERAPI_SECRET_KEY": KEY}
    for typed in ("", "no\n"):
        refused = manage("restore", backed_up, typed=typed, **given)
        assert refused.returncode == 1
        assert contents(changed) == before
    assert manage("restore", backed_up, typed="yes\n", **given).returncode == 0
    assert contents(changed) == contents(full)


def test_refused_restore_changes_nothing(changed: str, backed_up: str, tmp_path: Path) -> None:
    before = contents(changed)

    def error(file: str) -> str:
        given = {"DATABASE_URL": changed, "CODERAPI_SECRET_KEY": KEY}
        refused = manage("restore", file, "--yes", **given)
        assert refused.returncode == 1
        assert contents(changed) == before
        return refused.stderr

    with zipfile.ZipFile(backed_up) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for size in (0, 20_000):
        damaged = tmp_path / f"{size}.backup"
        with zipfile.ZipFile(damaged, "w") as archive:
            for name, entry in entries.items():
                archive.writestr(name, entry[:size] if name == backup.DUMP else entry)
        assert "Nothing is changed: the restore failed." in error(str(damaged))
    with psycopg.connect(changed, application_name=f"{PREFIX}host:17#abc"):
        named = error(backed_up)
    assert "Stop the service first. These processes" in named
    assert "its database: host:17." in named
    (other := tmp_path / "a.dump").write_bytes(entries[backup.DUMP])
    assert "a.dump is not a complete backup" in error(str(other))
    execute(changed, "CREATE TABLE users_of_another_app ()")
    before = contents(changed)
    assert "not of this service, such as the table users_of_another_app." in error(backed_up)


FOREIGN = {
    "table users_user_2": "CREATE TABLE users_user_2 ()",
    "table other.users_user": "CREATE SCHEMA other; CREATE TABLE other.users_user ()",
    "sequence users_own": "CREATE SEQUENCE users_own",
    "view users_one": "CREATE VIEW users_one AS SELECT username FROM users_user",
    "materialized view users_two": "CREATE MATERIALIZED VIEW users_two AS SELECT 2",
    "function users_sum(integer)": "CREATE FUNCTION users_sum(int) RETURNS int RETURN 1",
    "function users_do()": "CREATE PROCEDURE users_do() LANGUAGE sql AS 'SELECT 1'",
}


def test_every_foreign_object_prevents_a_restore(changed: str, tmp_path: Path) -> None:
    with target(changed, tmp_path) as on:
        assert replacement.check_replaceable(on, own_tables=own_tables())
        for name, statement in FOREIGN.items():
            with own_database(like=database_name(changed)) as url:
                execute(url, statement)
                other = dataclasses.replace(on, url=url)
                with pytest.raises(PostgresError, match=re.escape(f"such as the {name}.")):
                    replacement.check_replaceable(other, own_tables=own_tables())


def test_restore_takes_one_lock_for_each_old_table(changed: str, tmp_path: Path) -> None:
    with target(changed, tmp_path) as on, psycopg.connect(changed) as connection:
        for number in range(20):
            connection.execute(
                f"CREATE TABLE part_{number} PARTITION OF stats_agentstat"
                f" FOR VALUES FROM ('{2030 + number}-01-01') TO ('{2031 + number}-01-01')"
            )
        connection.commit()
        connection.execute(replacement.moving(on, own_tables()).encode())
        moved = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(%s)"
            " AND relkind IN ('r', 'p', 'S')",
            [replacement.REPLACED],
        ).fetchone()
        locks = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode ~ 'Exclusive'"
        ).fetchone()
    assert moved
    assert locks
    assert moved[0] > 50
    assert locks[0] < moved[0] + 20


def test_newer_server_than_the_programs_is_named(full: str, tmp_path: Path) -> None:
    with target(full, tmp_path) as on:
        old = dataclasses.replace(on.programs, version=(14, 1))
        older = dataclasses.replace(on, programs=old)
        with pytest.raises(PostgresError, match=r"Install the programs of PostgreSQL \d+\."):
            backup.write(tmp_path / "b", older, secret_key=KEY, release="1", now=utc(2026))
    assert not list(tmp_path.iterdir())


def test_zip_file_without_an_entry_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("about.json", "{}")
    complaint = r"a.zip is not a complete backup \(an entry is missing\)"
    with pytest.raises(PostgresError, match=complaint), backup.opened(file):
        pass


# --- Another release --------------------------------------------------------------------------


def test_only_a_backup_with_which_this_release_starts_is_restored(
    original: str, tmp_path: Path
) -> None:
    environ = {"DATABASE_URL": original, "CODERAPI_SECRET_KEY": KEY}
    manage_next = manage_with(next_release(tmp_path))
    right, wrong = (str(tmp_path / name) for name in ("right", "wrong"))

    def succeed(command: str, *, by: Callable[..., Any] = manage) -> None:
        done = by(*command.split(), **environ)
        assert done.returncode == 0, done.stderr

    succeed(f"backup {right}")
    with backup.opened(Path(right)) as opened:
        assert opened.about.release.startswith(__version__)
        assert "tokens.0001_create_keys_and_token_configs" in opened.about.migrations
    succeed("migrate", by=manage_next)
    succeed(f"backup {wrong}", by=manage_next)
    # A restore recognizes the tables of the next release as the service's.
    succeed(f"restore {right} --yes")
    before = contents(original)
    assert {"tokens_next", "next_by_sql"}.isdisjoint(before)
    refused = manage("restore", wrong, "--yes", **environ)
    assert refused.returncode == 1
    assert "Nothing is changed: another release has applied" in refused.stderr
    assert f"does not know: tokens.{NAME}." in refused.stderr
    assert "Traceback" not in refused.stderr
    assert contents(original) == before
    # The backup of this release is also right for the next one.
    succeed(f"restore {right} --yes", by=manage_next)


def test_backup_of_another_format_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("about.json", '{"format": 2, "release": "9.9"}')
        archive.writestr("secret_key", KEY)
        archive.writestr("database.dump", "")
    complaint = r"format 2, .* made the backup: '9\.9'"
    with pytest.raises(PostgresError, match=complaint), backup.opened(file):
        pass


# --- The private server -----------------------------------------------------------------------


def test_private_database_moves_to_another_data_directory(
    open_directory: Path, tmp_path: Path
) -> None:
    first, second = open_directory / "first", open_directory / "second"
    file = str(tmp_path / "a.backup")
    for directory in (first, second):
        environ = {
            "CODERAPI_DATA_DIR": str(directory),
            "DATABASE_URL": "",
            "CODERAPI_SECRET_KEY": "",
        }
        if directory is first:
            assert manage("migrate", "--verbosity=0", **environ).returncode == 0
            made = manage("backup", file, **environ)
            assert made.returncode == 0, made.stderr
        else:
            done = manage("restore", file, **environ)
            assert done.returncode == 0, done.stderr
    assert (second / "secret_key").read_text() == (first / "secret_key").read_text()
    assert (second / "secret_key").stat().st_mode & 0o777 == 0o600
    listed = manage("list_tokens", **environ)
    assert listed.returncode == 0, listed.stderr
    with zipfile.ZipFile(file) as archive:
        assert archive.read("secret_key").decode() == (first / "secret_key").read_text().strip()
