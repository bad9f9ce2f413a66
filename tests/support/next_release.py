"""A release after this one, with one more migration: for upgrades, and for returning from them."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.processes import PACKAGES, PROJECT

NAME = "0099_next_release"
MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("{app}", "{newest}")]
{body}
"""
ADD_COLUMN_AND_TABLES = """
    operations = [
        migrations.AddField("apikey", "added", models.TextField(null=True)),
        migrations.CreateModel("Next", [("id", models.BigAutoField(primary_key=True))]),
        migrations.RunSQL("CREATE TABLE next_by_sql (id bigint GENERATED ALWAYS AS IDENTITY)"),
    ]
"""


def next_release(
    directory: Path, *, app: str = "tokens", body: str = ADD_COLUMN_AND_TABLES
) -> Path:
    """Makes a copy of this checkout with the migration. Returns the path of its manage.py."""
    copy = directory / "next_release"
    if copy.exists():
        return copy / "manage.py"
    copy.mkdir()
    # No links: a program rejects packages from different places.
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, copy / package)
    migrations = copy / app / "migrations"
    newest = max(file.stem for file in migrations.glob("0*.py"))
    (migrations / f"{NAME}.py").write_text(
        MIGRATION.format(app=app, newest=newest, body=body), encoding="utf-8"
    )
    shutil.copy(PROJECT / "manage.py", copy)
    return copy / "manage.py"
