"""No migration is pending, the last release works with them, and one process applies them."""

from __future__ import annotations

import hashlib
import io
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django_migration_linter import MigrationLinter

from coderapi.database import migrating
from kernel.db.connections import connect_directly, fetch
from tests.support.processes import PACKAGES, PROJECT

# They create tables by SQL. The linter mistakes their NOT NULL for a change.
NEW_BY_SQL = ["0001_create_append_only_entries", "0001_reports_groups_noise_rules_and_ingest_keys"]
APPS = sorted(name for name in PACKAGES if (PROJECT / name / "migrations").is_dir())

# In the format of sha256sum.
HASHES = PROJECT / "tests/coderapi/migrations.sha256"
CHANGED = """
These migrations differ from tests/coderapi/migrations.sha256. A migration of a release is never \
changed, because databases have applied it. Add another one, and increase SCHEMA in \
kernel/db/schema_number.py. For a new migration, and until 0.1.0 is released for a changed one:
  sha256sum */migrations/*.py >tests/coderapi/migrations.sha256
  bin/keep_release"""


def test_no_migration_is_changed() -> None:
    found = {
        str(file.relative_to(PROJECT)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in PROJECT.glob("*/migrations/*.py")
    }
    frozen = dict(line.split("  ")[::-1] for line in HASHES.read_text().splitlines())
    assert found.items() ^ frozen.items() == set(), CHANGED


@pytest.mark.django_db
def test_no_migration_is_pending() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())


def test_migrations_do_not_depend_on_code_that_may_change() -> None:
    """A migration must do the same in each later release."""
    used = {
        (f"{path.parent.parent.name}/{path.name}", module)
        for app in APPS
        for path in (PROJECT / app / "migrations").glob("*.py")
        for module in re.findall(r"^(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE)
        if module.partition(".")[0] in PACKAGES and not module.startswith(f"{app}.migrations.")
    }
    assert used == set()


@pytest.mark.django_db
def test_database_describes_its_columns() -> None:
    """Also partitioned tables, which migrations create by SQL."""
    columns = """
        SELECT attname, col_description(attrelid, attnum) FROM pg_attribute
        WHERE attrelid = %s::regclass
    """
    for model in (model for app in APPS for model in apps.get_app_config(app).get_models()):
        stored = dict(fetch(columns, [model._meta.db_table]))
        for field in model._meta.concrete_fields:
            assert not field.column or stored[field.column] == field.db_comment, str(field)


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


def migrate() -> None:
    """Adds a column to a table, as a migration does."""
    try:
        migrating.migrate(add_a_column, lock_seconds=0.1, tries=1)
    finally:
        connection.close()


def add_a_column() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE csp_group ADD COLUMN added text")


@pytest.mark.django_db(transaction=True)
def test_migration_gives_up_with_a_sentence() -> None:
    with ThreadPoolExecutor(1) as thread, connect_directly() as dump, dump.transaction():
        dump.execute("SELECT count(*) FROM csp_group")
        with pytest.raises(CommandError, match="another transaction uses it"):
            thread.submit(migrate).result()
