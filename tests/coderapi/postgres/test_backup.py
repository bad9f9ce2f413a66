"""Backups of our own schema, and restores over existing data."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from coderapi import __version__
from coderapi.management.commands.restore import own_tables
from coderapi.postgres import PostgresError, backup, replacement
from coderapi.postgres.clients import target
from kernel.db.replicas import PREFIX
from tests.support.commands import error_of, succeed
from tests.support.databases.tables import TABLES, query, row_counts
from tests.support.factories import PASSWORD, utc
from tests.support.next_release import NAME, next_release
from tests.support.processes import database_name, own_database

KEY = "the-key-of-the-backup-which-is-long-enough-for-django-1234567890"
NOT_NAMED = {"DATABASE_URL": "", "CODERAPI_SECRET_KEY": ""}


KEYED = {"CODERAPI_SECRET_KEY": KEY}


@pytest.fixture(scope="module")
def full() -> Iterator[str]:
    """A database with the rows of the migrations, of a user and of the audit trail."""
    with own_database() as url:
        new = ("--role", "owner", "--username", "ada", "--email", "ada@example.com")
        succeed("create_user", *new, typed=f"{PASSWORD}\n", DATABASE_URL=url)
        yield url


def contents(url: str) -> dict[str, object]:
    """Returns a digest of each table's rows."""
    digest = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
    return {name: query(url, digest.format(name)) for (name,) in query(url, TABLES)}


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
        made = succeed("backup", str(file), DATABASE_URL=original, **KEYED)
    finally:
        os.umask(umask)
    assert f"A test restored {tables} tables with {rows} rows from it." in made
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [
        ("a.backup", 0o600)
    ]
    again = error_of("backup", str(file), DATABASE_URL=original, **KEYED)
    assert "a.backup exists already: name another file." in again
    lost = error_of("backup", str(tmp_path / "no" / "b"), DATABASE_URL=original, **KEYED)
    assert f"{tmp_path / 'no'} is not a directory." in lost
    with own_database(like=database_name(original)) as other:
        query(other, "DELETE FROM users_user; INSERT INTO auth_group VALUES (9, 'new')")
        assert contents(other) != before
        given = {"DATABASE_URL": other, "CODERAPI_SECRET_KEY": f"another-{KEY}"}
        done = succeed("restore", str(file), "--yes", **given)
        assert f"Restored {tables} tables with {rows} rows from {file} of 20" in done
        assert ("CODERAPI_SECRET_KEY differs" in done, KEY in done) == (True, False)
        assert contents(other) == before
        succeed("migrate", "--check", **given)


@pytest.fixture(scope="module")
def backed_up(full: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = str(tmp_path_factory.mktemp("backup") / "a.backup")
    with own_database(like=database_name(full)) as url:
        succeed("backup", file, DATABASE_URL=url, **KEYED)
    return file


@pytest.fixture
def changed(full: str) -> Iterator[str]:
    """A database with more rows than the backup."""
    with own_database(like=database_name(full)) as url:
        query(url, "INSERT INTO auth_group VALUES (9, 'new')")
        yield url


def test_backup_replaces_existing_data_after_a_yes(full: str, changed: str, backed_up: str) -> None:
    before, given = contents(changed), {"DATABASE_URL": changed, **KEYED}
    for typed in ("", "no\n"):
        error_of("restore", backed_up, typed=typed, **given)
        assert contents(changed) == before
    succeed("restore", backed_up, typed="yes\n", **given)
    assert contents(changed) == contents(full)


def test_refused_restore_changes_nothing(changed: str, backed_up: str, tmp_path: Path) -> None:
    def error(file: Path | str) -> str:
        before = contents(changed)
        found = error_of("restore", str(file), "--yes", DATABASE_URL=changed, **KEYED)
        assert contents(changed) == before
        return found

    with zipfile.ZipFile(backed_up) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    for size in (0, 20_000):
        cut = entries | {backup.DUMP: entries[backup.DUMP][:size]}
        damaged = zipped(tmp_path / f"{size}.backup", cut)
        assert "Nothing is changed: the restore failed." in error(damaged)
    for statement, difference in (
        ("ALTER TABLE users_user RENAME TO users_user_2", "users_user"),
        ("DELETE FROM django_migrations", "lacks the tables of this service"),
    ):
        with own_database(like=database_name(changed)) as url:
            query(url, statement)
            other_tables = entries | {backup.DUMP: dumped(url, tmp_path)}
        found = error(zipped(tmp_path / "other.backup", other_tables))
        assert "Nothing is changed" in found
        assert difference in found
    with psycopg.connect(changed, application_name=f"{PREFIX}host:17#abc"):
        named = error(backed_up)
    assert "Stop the service first. These processes" in named
    assert "its database: host:17." in named
    (other := tmp_path / "a.dump").write_bytes(entries[backup.DUMP])
    assert "a.dump is not a complete backup" in error(other)
    query(changed, "CREATE TABLE users_of_another_app ()")
    assert "not of this service, such as the table users_of_another_app." in error(backed_up)


def dumped(url: str, directory: Path) -> bytes:
    with target(url, directory) as on:
        command = [str(on.programs.program("pg_dump")), "--format=custom", "--extension=plpgsql"]
        return subprocess.run(command, env=on.environ, check=True, capture_output=True).stdout


def zipped(file: Path, entries: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry)
    return file


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
                query(url, statement)
                with pytest.raises(PostgresError, match=re.escape(f"such as the {name}.")):
                    replacement.check_replaceable(replace(on, url=url), own_tables=own_tables())


def test_restore_takes_one_lock_for_each_old_table(changed: str, tmp_path: Path) -> None:
    for year in range(2030, 2050):
        query(
            changed,
            f"CREATE TABLE part_{year} PARTITION OF stats_agentstat"
            f" FOR VALUES FROM ('{year}-01-01') TO ('{year + 1}-01-01')",
        )
    with target(changed, tmp_path) as on, psycopg.connect(changed) as connection:
        connection.execute(replacement.moving(on, own_tables()).encode())
        (moved, locks), *_ = connection.execute(
            "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(%s)"
            " AND relkind IN ('r', 'p', 'S')), count(*) FROM pg_locks"
            " WHERE pid = pg_backend_pid() AND mode ~ 'Exclusive'",
            [replacement.REPLACED],
        ).fetchall()
    assert moved > 50
    assert locks < moved + 20


def test_newer_server_than_the_programs_is_named(full: str, tmp_path: Path) -> None:
    with target(full, tmp_path) as on:
        older = replace(on, programs=replace(on.programs, version=(14, 1)))
        with pytest.raises(PostgresError, match=r"Install the programs of PostgreSQL \d+\."):
            backup.write(tmp_path / "b", older, secret_key=KEY, release="1", now=utc(2026))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"about.json": "{}"}, r"a.zip is not a complete backup \(an entry is missing\)"),
        (
            dict.fromkeys(("secret_key", "database.dump"), "")
            | {"about.json": '{"format": 2, "release": "9.9"}'},
            r"format 2, .* made the backup: '9\.9'",
        ),
    ],
)
def test_file_that_is_no_backup_of_this_format_is_named(
    tmp_path: Path, entries: dict[str, str], complaint: str
) -> None:
    file = zipped(tmp_path / "a.zip", entries)
    with pytest.raises(PostgresError, match=complaint), backup.opened(file):
        pass


def test_only_a_backup_with_which_this_release_starts_is_restored(
    original: str, tmp_path: Path
) -> None:
    environ = {"DATABASE_URL": original, **KEYED}
    newer = str(next_release(tmp_path))
    right, wrong = (str(tmp_path / name) for name in ("right", "wrong"))
    succeed("backup", right, **environ)
    with backup.opened(Path(right)) as opened:
        assert opened.about.release.startswith(__version__)
        assert "tokens.0001_create_keys_and_token_configs" in opened.about.migrations
    succeed("migrate", by=newer, **environ)
    succeed("backup", wrong, by=newer, **environ)
    # A restore recognizes the tables of the next release as the service's.
    succeed("restore", right, "--yes", **environ)
    before = contents(original)
    assert {"tokens_next", "next_by_sql"}.isdisjoint(before)
    refused = error_of("restore", wrong, "--yes", **environ)
    assert "Nothing is changed: another release has applied" in refused
    assert f"does not know: tokens.{NAME}." in refused
    assert contents(original) == before
    # The backup of this release is also right for the next one.
    succeed("restore", right, "--yes", by=newer, **environ)


def test_private_database_moves_to_another_data_directory(
    open_directory: Path, tmp_path: Path
) -> None:
    file = str(tmp_path / "a.backup")
    first, second = (
        {"CODERAPI_DATA_DIR": str(open_directory / name), **NOT_NAMED} for name in ("one", "two")
    )
    succeed("migrate", "--verbosity=0", **first)
    succeed("backup", file, **first)
    succeed("restore", file, **second)
    succeed("list_tokens", **second)
    one, two = (open_directory / name / "secret_key" for name in ("one", "two"))
    with zipfile.ZipFile(file) as archive:
        kept = archive.read("secret_key").decode()
    assert two.read_text() == one.read_text() == f"{kept}\n"
    assert two.stat().st_mode & 0o777 == 0o600
