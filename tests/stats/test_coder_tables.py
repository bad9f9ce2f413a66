"""Imports of files exported from Coder's own database."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from coderapi.settings import BASE_DIR
from stats.ingest.members import AGENT_MEMBERS
from stats.models import KIND_COLUMNS
from tests.support.coder.releases import V2_34, V2_38, Release
from tests.support.coder.tables import BUILDS, STATES, coder_database
from tests.support.commands import run
from tests.support.stats_rows import Deployment, agrees, deployment_at

MANUAL = (BASE_DIR / "docs/stats.md").read_text(encoding="utf-8")
SELECT = re.findall(r"<<'SQL'\n(SELECT .*?);\nSQL", MANUAL, re.DOTALL)[0]
AGENTS = "SELECT * FROM workspace_agent_stats"
SHUFFLED = """
SELECT 1 AS flavour, {columns}, 'a;"b,\\' AS "näme" FROM workspace_agent_stats
"""
EXPORTS = {
    "rows.csv": "COPY ({select}) TO STDOUT CSV HEADER",
    "semicolons.csv": "COPY ({select}) TO STDOUT CSV HEADER DELIMITER ';'",
    "tabs.tsv": "COPY ({select}) TO STDOUT CSV HEADER DELIMITER E'\\t'",
    "text.txt": "COPY ({select}) TO STDOUT WITH (HEADER)",
    "rows.jsonl": "COPY (SELECT row_to_json(t) FROM ({select}) t) TO STDOUT",
    "no-name": "COPY (SELECT row_to_json(t) FROM ({select}) t) TO STDOUT",
}
# By PostgreSQL's clock, like the queries of the manual. The second is fixed: the rows reach back
# 897 s, so it decides how many intervals of 5 minutes have rows.
MOMENT = "SELECT date_trunc('hour', now(), 'UTC') - interval '25 min 4 s'"
SNAPSHOTS = "3 snapshots backfilled."
ZONES = ["Asia/Kolkata", "America/New_York"]


class Coder(NamedTuple):
    release: Release
    url: str
    moment: datetime
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module", params=[V2_34, V2_38], ids=str)
def coder(request: pytest.FixtureRequest) -> Iterator[Coder]:
    release: Release = request.param
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute(MOMENT).fetchone()
    assert row
    with coder_database(row[0], release) as (url, rows):
        yield Coder(release, url, row[0], rows)


@pytest.fixture
def deployment(db: None, coder: Coder) -> Iterator[Deployment]:
    with deployment_at(coder.moment) as deployment:
        yield deployment


def export(coder: Coder, select: str, path: Path, *, zone: str = "UTC") -> str:
    """Lets PostgreSQL write the file. Returns its name."""
    with psycopg.connect(coder.url) as connection, path.open("wb") as file:
        connection.execute("SELECT set_config('timezone', %s, false)", [zone])
        command = EXPORTS[path.name].format(select=select).encode()
        with connection.cursor().copy(command) as copy:
            file.writelines(copy)
    return str(path)


# The other formats write times as these two do.
@pytest.mark.parametrize(
    ("name", "zone"),
    [*product(EXPORTS, ["UTC"]), *product(["rows.csv", "rows.jsonl"], ZONES)],
)
def test_agent_rows_are_imported_in_each_format_of_postgresql(
    deployment: Deployment, coder: Coder, tmp_path: Path, name: str, zone: str
) -> None:
    path = export(coder, AGENTS, tmp_path / name, zone=zone)
    message = run("import_agent_stats", path)
    assert message == f"{len(coder.rows)} agent rows imported, 0 duplicates. {SNAPSHOTS}"
    agrees(deployment.collect(), coder.rows)
    message = run("import_agent_stats", path)
    assert message == f"0 agent rows imported, {len(coder.rows)} duplicates."


@pytest.mark.parametrize("name", EXPORTS)
def test_workspaces_are_imported_with_the_query_of_the_manual(
    deployment: Deployment, coder: Coder, tmp_path: Path, name: str
) -> None:
    message = run("import_workspaces", export(coder, SELECT, tmp_path / name))
    assert message == f"{len(BUILDS) + 1} workspace states imported, 0 duplicates."
    workspaces = deployment.collect()["workspaces"]
    assert {state: workspaces[state] for state in STATES} == STATES


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_columns_may_be_in_any_order_and_unknown_ones_are_listed(
    deployment: Deployment, coder: Coder, tmp_path: Path, name: str
) -> None:
    absent = KIND_COLUMNS if coder.release.counts_by_name else ("session_counts",)
    names = [member.name for member in reversed(AGENT_MEMBERS) if member.name not in absent]
    shuffled = SHUFFLED.format(columns=", ".join(names))
    message = run("import_agent_stats", export(coder, shuffled, tmp_path / name))
    assert message == (
        f"{len(coder.rows)} agent rows imported, 0 duplicates. 2 unknown columns ignored: "
        f"'flavour', 'näme'. {SNAPSHOTS}"
    )
    agrees(deployment.collect(), coder.rows)
