"""Migrations: none is pending, they are compatible with the last release, and one process runs."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.db import connection
from django_migration_linter import MigrationLinter

from coderapi.server.migrating import migration_lock
from tests.support.processes import PACKAGES, PROJECT

# They create tables by SQL. The linter mistakes their NOT NULL for a change.
NEW_BY_SQL = ["0001_append_only_entries", "0001_reports_groups_and_rules"]
APPS = sorted(name for name in PACKAGES if (PROJECT / name / "migrations").is_dir())


@pytest.mark.django_db
def test_no_migration_is_pending() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())


@pytest.mark.django_db
def test_linter_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    linter = MigrationLinter(
        str(PROJECT),
        include_apps=APPS,
        ignore_name=NEW_BY_SQL,
        no_cache=True,
        # The linter does not know our database backend.
        analyser_string="postgresql",
    )

    linter.lint_all_migrations()

    assert not linter.has_errors, capsys.readouterr().out
    assert linter.nb_total >= len(APPS)


@pytest.mark.django_db(transaction=True)
def test_index_is_built_concurrently_while_the_lock_is_held() -> None:
    with migration_lock(), connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '20s'")
        cursor.execute("CREATE INDEX CONCURRENTLY built_meanwhile ON csp_group (blocked)")
        cursor.execute("DROP INDEX built_meanwhile")
        cursor.execute("RESET statement_timeout")
