"""Coder's own data as it comes out: files that its database wrote are taken in as they are."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from coderapi.settings import BASE_DIR
from kernel.postgres.binaries import found
from stats.ingest.rows import AGENT_MEMBERS
from tests.support.coder_tables import BUILDS, coder_database
from tests.support.commands import run
from tests.support.stats_rows import HOUR, Deployment, agrees, deployment_at

MANUAL = (BASE_DIR / "docs/stats.md").read_text(encoding="utf-8")
# A block of the manual that exports a file and imports it, and the same without a file.
BLOCKS = re.findall(r"```sh\n(psql .*?)```", MANUAL, re.DOTALL)
SELECT = re.findall(r"(SELECT .*?);\nSQL", MANUAL, re.DOTALL)[0]
AGENTS = "SELECT * FROM workspace_agent_stats"
BACKWARDS = ", ".join(member.name for member in reversed(AGENT_MEMBERS))
SHUFFLED = f"""
SELECT 1 AS flavour, {BACKWARDS}, 'a;"b,\\' AS "näme" FROM workspace_agent_stats
"""  # noqa: S608 - the names are constants
EXPORTS = {
    "rows.csv": "COPY ({select}) TO STDOUT CSV HEADER",
    "semicolons.csv": "COPY ({select}) TO STDOUT CSV HEADER DELIMITER ';'",
    "tabs.tsv": "COPY ({select}) TO STDOUT CSV HEADER DELIMITER E'\\t'",
    "text.txt": "COPY ({select}) TO STDOUT WITH (HEADER)",
    "rows.jsonl": "COPY (SELECT row_to_json(t) FROM ({select}) t) TO STDOUT",
    "no-name": "COPY (SELECT row_to_json(t) FROM ({select}) t) TO STDOUT",
}
# The manual exports the last day. The second is fixed: the rows reach back 897 s, so it decides how
# many intervals of 5 minutes have rows.
MOMENT = (timezone.now() - HOUR).replace(minute=34, second=56, microsecond=0)
# Rows come until then, and the interval of 5 minutes that is not over gets none.
SNAPSHOTS = "3 snapshots of the past were taken."
ZONES = ["UTC", "Asia/Kolkata", "America/New_York"]


@pytest.fixture(scope="module")
def coder() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with coder_database(MOMENT) as made:
        yield made


@pytest.fixture
def deployment(db: None, coder: Any) -> Iterator[Deployment]:
    with deployment_at(MOMENT) as made:
        yield made


def exported(url: str, select: str, path: Path, *, zone: str = "UTC") -> str:
    """The name of a file that PostgreSQL wrote."""
    with psycopg.connect(url) as connection, path.open("wb") as file:
        connection.execute("SELECT set_config('timezone', %s, false)", [zone])
        command = EXPORTS[path.name].format(select=select).encode()
        with connection.cursor().copy(command) as copy:
            file.writelines(copy)
    return str(path)


def states(deployment: Deployment) -> dict[str, int]:
    workspaces = deployment.collect()["workspaces"]
    return {name: workspaces[name] for name in STATES}


# One for each of BUILDS and the one without a build, by their definitions.
STATES = {"pending": 3, "building": 1, "running": 1, "failed": 2, "stopped": 1}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("name", EXPORTS)
def test_agent_rows_come_as_postgresql_writes_them(
    deployment: Deployment, coder: Any, tmp_path: Path, name: str, zone: str
) -> None:
    url, rows = coder
    path = exported(url, AGENTS, tmp_path / name, zone=zone)
    said = run("import_agent_stats", path)
    assert said == f"{len(rows)} agent rows taken in, 0 known already. {SNAPSHOTS}"
    agrees(deployment.collect(), rows)
    assert run("import_agent_stats", path) == f"0 agent rows taken in, {len(rows)} known already."


@pytest.mark.parametrize("name", EXPORTS)
def test_workspaces_come_by_the_select_of_the_manual(
    deployment: Deployment, coder: Any, tmp_path: Path, name: str
) -> None:
    said = run("import_workspaces", exported(coder[0], SELECT, tmp_path / name))
    assert said == f"{len(BUILDS) + 1} workspace states taken in, 0 known already."
    assert states(deployment) == STATES


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_the_order_of_columns_is_free_and_unknown_ones_are_counted(
    deployment: Deployment, coder: Any, tmp_path: Path, name: str
) -> None:
    url, rows = coder
    path = exported(url, SHUFFLED, tmp_path / name)
    said = run("import_agent_stats", path)
    assert said == (
        f"{len(rows)} agent rows taken in, 0 known already. 2 unknown columns ignored: 'flavour', "
        f"'näme'. {SNAPSHOTS}"
    )
    agrees(deployment.collect(), rows)


@pytest.mark.parametrize("number", range(4))
def test_the_commands_of_the_manual_do_what_it_says(
    deployment: Deployment, coder: Any, tmp_path: Path, number: int
) -> None:
    url, rows = coder
    exporting, command = BLOCKS[number].strip().rsplit("python manage.py ", 1)
    name, file = command.split()
    if file == "-":
        exporting, file = exporting.rstrip().removesuffix("|") + " > piped", "piped"
    programs = {"PATH": f"{found()[0].directory}:{os.environ['PATH']}", "CODER_DATABASE": url}
    subprocess.run(
        ["bash", "-euc", exporting], cwd=tmp_path, env={**os.environ, **programs}, check=True
    )
    taken, end = len(BUILDS) + 1, ""
    if name == "import_agent_stats":
        taken, end = len(rows), f" {SNAPSHOTS}"
    said = run(name, str(tmp_path / file))
    assert said.startswith(f"{taken} ")
    assert said.endswith(f" taken in, 0 known already.{end}")
