"""Commands: imports from files, snapshots, rebuilding."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import re
import signal
import subprocess
import sys
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, load_command_class
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.models import JobRun
from kernel.commands.line_imports import MAX_LINE_BYTES
from kernel.db.connections import connect_directly
from stats.ingest.importing import BATCH_ROWS
from stats.selectors import snapshot_state
from stats.serializers import AgentRowSerializer, WorkspaceStateSerializer
from tests.support.browsers.markup import text_in
from tests.support.commands import run
from tests.support.factories import make_user, utc
from tests.support.processes import DEADLINE_SECONDS, PROJECT, in_database, wait_for
from tests.support.stats_rows import (
    HOUR,
    MINUTE,
    NOW,
    SECOND,
    SESSIONS,
    Deployment,
    agent_row,
    agrees,
    deployment_at,
    text,
    workspace_row,
)


def rejected(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in Path(f"{path}.rejected").read_bytes().splitlines()]


NEEDED = "id,created_at,user_id,agent_id,workspace_id,template_id"


def test_compressed_csv_is_read(deployment: Deployment, tmp_path: Path) -> None:
    members: Any = {"connection_median_latency_ms": 1.5, "connections_by_proto": {"a": 1}}
    members |= {f"session_count_{kind}": number for number, kind in enumerate(SESSIONS)}
    row = agent_row(NOW, rx_bytes=7, usage=True, **members)
    lines = io.StringIO()
    writer = csv.DictWriter(lines, row)
    writer.writeheader()
    writer.writerow({k: orjson.dumps(v).decode().strip('"') for k, v in row.items()})
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(lines.getvalue().encode()))
    assert "1 agent row imported" in run("import_agent_stats", str(path))
    agrees(deployment.collect(), [row])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("optional", [{}, {"rx_bytes": 7, "usage": True}])
def test_missing_columns_of_csv_have_their_defaults(
    deployment: Deployment, tmp_path: Path, optional: dict[str, Any]
) -> None:
    row = agent_row(NOW, **dict.fromkeys((f"session_count_{kind}" for kind in SESSIONS), 1))
    row |= optional
    path = tmp_path / "rows.csv"
    path.write_text(f"{','.join(row)}\n{','.join(map(str, row.values()))}\n")
    assert "1 agent row imported" in run("import_agent_stats", str(path))
    # No latency was measured.
    agrees(deployment.collect(), [row])


def test_bad_lines_are_written_to_a_file_with_number_and_reason(
    deployment: Deployment, tmp_path: Path
) -> None:
    good = orjson.dumps(agent_row(NOW))
    bad = [b"{", b'{"id": 7}', b"\xff", b"[" * 99_999, b'"' + b"x" * (2 * MAX_LINE_BYTES) + b'"']
    ahead = orjson.dumps(agent_row(NOW + HOUR))
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([good, *bad, b"", ahead, good]))
    with pytest.raises(CommandError, match=r"1 agent row imported, 1 duplicate\. 6 bad"):
        run("import_agent_stats", str(path))
    assert [entry["line"] for entry in rejected(path)] == [2, 3, 4, 5, 6, 8]
    assert [entry["field"] for entry in rejected(path)] == ["", "id", "", "", "", "created_at"]
    texts = [(entry["text"], bool(entry["detail"])) for entry in rejected(path)]
    assert texts[:3] == [("{", True), ('{"id": 7}', True), ("\ufffd", True)]
    assert deployment.collect()["rows"] == 1


def test_empty_values_of_csv_are_skipped_and_invalid_ones_named(
    deployment: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "states.csv"
    path.write_text(
        "workspace_id,deleted,build_number,transition,job_started_at,error,colour\n"
        f'{uuid.UUID(int=1)},f,3,start,,"two\nlines",red\n'
        f"{uuid.UUID(int=2)},maybe,,,,,\n"
        f"{uuid.UUID(int=3)},,x,,,,\n"
        "too,few\n"
        f"{uuid.UUID(int=4)},t,,,,,\n"
    )
    with pytest.raises(CommandError) as raised:
        run("import_workspaces", str(path))
    assert str(raised.value) == (
        "2 workspace states imported, 0 duplicates. 1 unknown column ignored: 'colour'. 3 bad, "
        f"set aside in {path}.rejected; the first is line 4: deleted: 'maybe' is neither true nor "
        "false."
    )
    assert deployment.collect()["workspaces"]["pending"] == 1
    fields = [(entry["line"], entry["field"]) for entry in rejected(path)]
    assert fields == [(4, "deleted"), (5, "build_number"), (6, "")]


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("import_agent_stats", "workspace_id,deleted\n", "workspace states. Use import_workspaces"),
        ("import_agent_stats", '{"workspace_id": "7", "transition": "stop"}', "import_workspaces"),
        ("import_agent_stats", "workspace_id,rx_bytes\n", "has no column id, created_at, user_id"),
        ("import_agent_stats", '{"workspace_id": "7"}', "0 agent rows .* line 1: id: is missing"),
        *(
            ("import_agent_stats", f"{columns}\n", "has no columns with the numbers of sessions")
            for columns in (NEEDED, f"{NEEDED},session_count_ssh")
        ),
        ("import_agent_stats", "7,2026-01-01\n", "names columns such as id, created_at"),
        ("import_agent_stats", "\n", "--help shows what is expected"),
        ("import_workspaces", "id,deleted,name\n", "has no column workspace_id"),
        ("import_workspaces", "id,agent_id,workspace_id\n1,2,3\n", "Use import_agent_stats"),
        ("import_workspaces", '{"agent_id": 2}', "Line 1 .* agent rows. Use import_agent_stats"),
        ("import_workspaces", '[{"workspace_id": 2}]', "is one JSON array"),
    ],
)
def test_the_error_for_a_wrong_file_says_what_is_expected(
    deployment: Deployment, tmp_path: Path, command: str, text: str, message: str
) -> None:
    path = tmp_path / "rows"
    path.write_text(text)
    with pytest.raises(CommandError, match=message):
        run(command, str(path))
    assert deployment.collect()["workspaces"]["pending"] == 0


@pytest.mark.parametrize(
    ("command", "serializer"),
    [
        ("import_agent_stats", AgentRowSerializer),
        ("import_workspaces", WorkspaceStateSerializer),
    ],
)
@pytest.mark.django_db
def test_help_manual_and_schema_show_the_same_valid_rows(
    tmp_path: Path, command: str, serializer: Any
) -> None:
    with deployment_at(utc(2026, 1, 21)) as deployment:
        parser = load_command_class("stats", command).create_parser("coderapi", command)
        (as_json,) = re.findall(r"^\{.*\}$", parser.format_help(), re.MULTILINE)
        (as_csv,) = re.findall(r"^\w+(?:,\w+)+\n.*,.*$", parser.format_help(), re.MULTILINE)
        (tmp_path / "rows.jsonl").write_text(as_json)
        (tmp_path / "rows.csv").write_text(as_csv)
        assert run(command, str(tmp_path / "rows.jsonl")).startswith("1 ")
        assert " 1 duplicate." in run(command, str(tmp_path / "rows.csv"))
        assert deployment.counts(serializer.example, kind=serializer.example["kind"]) == (0, 1, 0)
    manual = (PROJECT / "docs/stats.md").read_text(encoding="utf-8")
    assert as_json in manual
    assert as_csv in manual


def test_rows_before_the_end_of_a_truncated_file_are_imported(
    deployment: Deployment, tmp_path: Path
) -> None:
    chance, rows = random.Random(7), BATCH_ROWS - 1  # noqa: S311 - a seed makes the same rows each time
    lines = [f"{uuid.UUID(int=chance.getrandbits(128))},1" for _ in range(rows)]
    packed = gzip.compress("\n".join(["workspace_id,build_number", *lines]).encode(), mtime=0)
    path = tmp_path / "states.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CommandError, match="ended before"):
        run("import_workspaces", str(path))
    before = deployment.collect()["workspaces"]["pending"]
    assert 0 < before < rows
    path.write_bytes(packed)
    message = run("import_workspaces", str(path))
    assert message == f"{rows - before:,} workspace states imported, {before:,} duplicates."


def current_deployment() -> Deployment:
    deployment = Deployment()
    deployment.now = timezone.now()
    return deployment


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_stops_an_import_of_a_pipe_and_keeps_committed_rows() -> None:
    url = in_database(os.environ["DATABASE_URL"], connection.settings_dict["NAME"])
    importing = subprocess.Popen(
        [sys.executable, "manage.py", "import_workspaces", "-"],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert importing.stdin
        rows = [orjson.dumps(workspace_row(n)).decode() for n in range(BATCH_ROWS + 1)]
        importing.stdin.write("\n".join(rows) + "\n")
        importing.stdin.flush()
        wait_for(lambda: current_deployment().collect()["workspaces"]["pending"])
        importing.send_signal(signal.SIGINT)
        _, error = importing.communicate(timeout=DEADLINE_SECONDS)
    finally:
        importing.kill()
        importing.communicate()
    assert "Run the same command again" in error
    assert importing.returncode == 128 + signal.SIGINT
    assert current_deployment().collect()["workspaces"]["pending"] == BATCH_ROWS


@pytest.mark.django_db(transaction=True)
def test_a_failed_run_keeps_the_old_snapshot_and_records_its_error() -> None:
    assert "0 workspaces running" in run("collect_deployment_stats")
    before = snapshot_state()
    assert before
    assert JobRun.objects.filter(job_name="collect_deployment_stats").get().error == ""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE stats_rollup RENAME TO hidden")
    try:
        with pytest.raises(CommandError, match="stats_rollup"):
            run("collect_deployment_stats")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO stats_rollup")
    after = snapshot_state()
    assert after
    assert after["collected_at"] == before["collected_at"]
    assert "stats_rollup" in JobRun.objects.order_by("-started_at")[0].error
    run("collect_deployment_stats")
    assert snapshot_state() != after


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "noon"], "neither a day nor a time"),
        (["--every", "0s"], "less than a second"),
        (["--every", "often"], "often"),
        (["--since", text(NOW), "--at", "2026-01-01T00:00:00Z"], "not allowed with"),
        (["--at", "9999-01-01T00:00:00Z"], "must not be in the future"),
        (["--at", "2001-01-01T00:00:00Z"], "its agent rows are not kept"),
        (["--every", "30s"], "be used with --since"),
        (["--until", text(NOW)], "be used with --since"),
        (["--since", text(NOW), "--until", text(NOW)], "must be before"),
        (["--since", "9999-01-01T00:00:00Z"], "must be before"),
    ],
)
@pytest.mark.django_db
def test_invalid_arguments_are_rejected(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run("collect_deployment_stats", *arguments)


@pytest.mark.parametrize("since", ["2026-05-01", "2026-05-01 00:00", "2026-05-01T02:00:00+02:00"])
def test_since_is_a_day_or_a_time(deployment: Deployment, since: str) -> None:
    deployment.take(agent_row(NOW - 5 * HOUR))
    assert run("rebuild_stats", "--since", since) == "1 minute with rows rebuilt."
    command = ("collect_deployment_stats", "--since", since)
    assert run(*command, "--until", "2026-05-02") == "0 snapshots backfilled."
    assert run(*command, "--until", "2026-05-05").startswith("3 snapshots")


def everything(deployment: Deployment) -> list[Any]:
    """Returns a new snapshot and the points of history in hours and minutes."""
    deployment.travel(timedelta(microseconds=1))
    snapshot = deployment.collect()
    return [
        {name: snapshot[name] for name in ("session_count", "workspaces", "rows")},
        deployment.points(NOW - HOUR, NOW + HOUR, "1h"),
        deployment.points(NOW - HOUR, NOW + HOUR, "1m"),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        "SELECT 1",
        "DELETE FROM stats_rollup WHERE span_seconds = 60",
        "DELETE FROM stats_newestagentstat",
        "UPDATE stats_rollup SET measured_rx_bytes = 7, row_count = 1, "
        "latency_buckets = '{}', latency_counts = '{}'",
        "UPDATE stats_newestagentstat SET session_count_ssh = 99",
    ],
)
def test_damaged_rollups_and_newest_rows_are_rebuilt(deployment: Deployment, damage: str) -> None:
    chance = random.Random(5)  # noqa: S311 - a seed makes the same rows each time
    rows = [
        agent_row(
            NOW - timedelta(seconds=chance.uniform(-200, 900)),
            agent=chance.randrange(5),
            rx_bytes=chance.randrange(99),
            connection_median_latency_ms=chance.uniform(-1, 9),
            session_count_ssh=chance.randrange(5),
        )
        for _ in range(100)
    ]
    deployment.take(*rows)
    deployment.collect()
    before = everything(deployment)
    with connection.cursor() as cursor:
        cursor.execute(damage)
    message = run("rebuild_stats", "--since", text(NOW - 20 * MINUTE))
    minutes = {row["created_at"][:16] for row in rows}
    assert message == f"{len(minutes)} minutes with rows rebuilt."
    assert everything(deployment) == before


def test_rebuilding_begins_in_the_past(deployment: Deployment) -> None:
    with pytest.raises(CommandError, match="must be in the past"):
        run("rebuild_stats", "--since", text(deployment.now + HOUR))


def test_the_rows_of_a_deleted_user_stay_and_are_not_counted_on_the_page(
    deployment: Deployment,
) -> None:
    person = make_user()
    rows = [agent_row(NOW, connection_median_latency_ms=1, user_id=str(person.pk))]
    deployment.take(*rows)
    pages, page = Client(), f"/admin/users/user/{person.pk}"
    pages.force_login(make_user("owner"))
    with CaptureQueriesContext(connection) as queries:
        assert "agent rows" not in text_in(pages.get(f"{page}/delete/")).split("Agent rows")[0]
        assert pages.get(f"{page}/change/").status_code == 200
    assert not any("stats_agentstat" in query["sql"] for query in queries)
    assert pages.post(f"{page}/delete/", {"post": "yes"}).status_code == 302
    deployment.travel(SECOND)
    agrees(deployment.collect(), rows)


def test_the_rows_of_an_erased_person_are_deleted_and_left_out_of_statistics(
    deployment: Deployment,
) -> None:
    deployment.take(workspace_row(1), kind="workspace")
    person = make_user(username="alice")
    rows = [
        agent_row(
            NOW - n * 7 * MINUTE,
            agent=n % 3,
            rx_bytes=2**n,
            connection_median_latency_ms=1,
            session_count_ssh=n,
            user_id=str(person.pk if n % 2 == 0 else uuid.UUID(int=7)),
        )
        for n in range(12)
    ]
    deployment.take(*rows)
    agrees(deployment.collect(), rows)
    assert "6\tagent rows\tdeleted" in run("erase_user", "alice", "--yes")
    deployment.travel(SECOND)
    remaining = rows[1::2]
    agrees(deployment.collect(), remaining)
    for ago in (0, 10, 40):
        agrees(deployment.collect(NOW - ago * MINUTE - SECOND), remaining)


@pytest.mark.django_db(transaction=True)
def test_erasing_locks_one_partition_at_a_time(deployment: Deployment, settings: Any) -> None:
    settings.STATS_AGENT_ROW_RETENTION, hours = timedelta(0), 40
    person, locks = make_user(username="alice"), [0]
    deployment.take(*(agent_row(NOW - n * HOUR, user_id=str(person.pk)) for n in range(hours)))
    query = (
        "SELECT count(DISTINCT relation) FROM pg_locks JOIN pg_inherits ON inhrelid = relation "
        "WHERE inhparent = 'stats_agentstat'::regclass AND pid = %s"
    )

    def count_locks(execute: Any, *arguments: Any) -> Any:
        found = execute(*arguments)
        pid = connection.connection.info.backend_pid
        locks.append(other.execute(query, [pid]).fetchone()[0])  # type: ignore[index]
        return found

    with connect_directly() as other, connection.execute_wrapper(count_locks):
        assert f"{hours}\tagent rows\tdeleted" in run("erase_user", "alice", "--yes")
    assert max(locks) == 1
