"""Migrations: none is pending, and each may run while the release before still serves."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django_migration_linter import MigrationLinter

from coderapi.settings import BASE_DIR

# They create partitioned tables by SQL; the linter takes a new table's NOT NULL for a change.
NEW_BY_SQL = ["0001_append_only_entries", "0001_reports_groups_and_rules"]
APPS = ["audit", "csp", "deployment", "jobs", "tokens", "users"]


@pytest.mark.django_db
def test_no_migration_is_pending() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())


@pytest.mark.django_db
def test_linter_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    linter = MigrationLinter(
        str(BASE_DIR), include_apps=APPS, ignore_name=NEW_BY_SQL, no_cache=True
    )

    linter.lint_all_migrations()

    assert not linter.has_errors, capsys.readouterr().out
    assert linter.nb_total > len(APPS)
