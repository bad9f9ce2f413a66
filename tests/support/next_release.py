"""A release after this one, with one more migration: for upgrades, and for returning from them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.commands import execute
from tests.support.processes import PACKAGES, PROJECT

MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("tokens", "0001_keys_and_configs")]
    operations = [
        migrations.AddField("apikey", "added", models.TextField(null=True)),
        migrations.CreateModel("Next", [("id", models.BigAutoField(primary_key=True))]),
        migrations.RunSQL("CREATE TABLE next_by_sql (id bigint GENERATED ALWAYS AS IDENTITY)"),
    ]
"""
NAME = "0002_next_release"


class NextRelease:
    """A subdirectory with the packages of this checkout, and the migration."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory = directory / "next_release"
        directory.mkdir()
        for name in PACKAGES - {"tokens"}:
            (directory / name).symlink_to(PROJECT / name)
        shutil.copytree(PROJECT / "tokens", directory / "tokens")
        (directory / "tokens" / "migrations" / f"{NAME}.py").write_text(MIGRATION)
        shutil.copy(PROJECT / "manage.py", directory)

    def manage(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self._directory / "manage.py"), *arguments]
        return execute(command, env={**os.environ, **environ})
