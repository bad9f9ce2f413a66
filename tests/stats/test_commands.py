from __future__ import annotations

import csv
import gc
import gzip
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from deployment.stats import importing, reading_ahead
from deployment.stats.collecting import collect_in_a_loop
from deployment.stats.figures import agent_figures
from deployment.stats.import_files import Mark, Progress
from deployment.stats.models import AgentStat, FileImport, Snapshot, WorkspaceState
from deployment.stats.reading_ahead import checksum
from deployment.stats.records import LONGEST_LINE, json_records
from jobs.models import JobRun
from tests.support.client import APIClient
from tests.support.processes import PROJECT, in_database, wait_for
from tests.support.stats_rows import Reference, agent_row, reference_workspaces, workspace_row


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def rejected(path: Path) -> list[dict[str, Any]]:
    lines = path.with_name(path.name + ".rejected").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def many_agent_rows(chance: random.Random, now: datetime) -> list[dict[str, Any]]:
    """100,000 rows of 500 agents over the last 20 minutes."""
    return [
        agent_row(
            now - timedelta(microseconds=chance.randrange(20 * 60 * 1_000_000)),
            agent=chance.randrange(500),
            id=str(uuid.UUID(int=chance.getrandbits(128))),
            rx_bytes=chance.randrange(10**9),
            tx_bytes=chance.randrange(10**6),
            connection_median_latency_ms=chance.choice([-1, 0, chance.lognormvariate(3, 1)]),
            session_count_vscode=chance.randrange(3),
            session_count_ssh=chance.randrange(5),
        )
        for _ in range(100_000)
    ]


def many_workspaces(chance: random.Random) -> list[dict[str, Any]]:
    clock = ["2026-05-04T12:00:00Z", None]
    return [
        workspace_row(
            number,
            deleted=chance.random() < 0.1,
            transition=chance.choice(["start", "stop", "delete"]),
            job_started_at=chance.choice(clock),
            job_canceled_at=chance.choice([None, *clock]),
            job_completed_at=chance.choice(clock),
            error=chance.choice([None, "", "broke"]),
        )
        for number in range(500)
    ]


@pytest.mark.django_db
def test_large_files_come_to_the_right_figures(owner: APIClient, tmp_path: Path) -> None:
    chance, now = random.Random(7), timezone.now()  # noqa: S311 - the same rows each time
    rows, states = many_agent_rows(chance, now), many_workspaces(chance)
    call_command("import_agent_stats", str(write(tmp_path / "rows.jsonl", rows)))
    call_command("import_workspaces", str(write(tmp_path / "states.jsonl", states)))
    call_command("collect_deployment_stats", "--at", now.isoformat())
    answer = owner.get("/api/v2/deployment/stats").json()
    expected = Reference(rows, now)
    workspaces = answer["workspaces"]
    assert answer["session_count"] == expected.sessions()
    assert workspaces["rx_bytes"] == expected.traffic("rx_bytes")
    assert workspaces["tx_bytes"] == expected.traffic("tx_bytes")
    assert workspaces["connection_latency_ms"] == {
        "p50": pytest.approx(expected.percentile(0.5), rel=0.01),
        "p95": pytest.approx(expected.percentile(0.95), rel=0.01),
    }
    for name, count in reference_workspaces(states).items():
        assert workspaces[name] == count, name


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "taken"), [("rows.jsonl", True), ("rows.csv", False)])
def test_an_import_leaves_the_process_as_it_was(tmp_path: Path, name: str, taken: bool) -> None:
    before = gc.get_threshold(), sys.getswitchinterval()
    path = write(tmp_path / name, [agent_row(timezone.now())])
    with nullcontext() if taken else pytest.raises(CommandError):
        call_command("import_agent_stats", str(path))
    assert (gc.get_threshold(), sys.getswitchinterval()) == before


def test_while_records_come_in_garbage_waits_and_threads_take_turns() -> None:
    interval = sys.getswitchinterval()
    with importing.seldom_collecting_and_soon_switching():
        assert gc.get_threshold()[0] == importing.COLLECT_EVERY
        assert sys.getswitchinterval() < interval
    assert sys.getswitchinterval() == interval


@pytest.mark.django_db
def test_file_of_which_nothing_was_taken_in_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("nonsense\n{}\n")

    with pytest.raises(CommandError, match=r"Nothing was taken in\."):
        call_command("import_agent_stats", str(file))


@pytest.mark.django_db
def test_bad_lines_are_set_aside_with_number_and_reason(tmp_path: Path) -> None:
    good = orjson.dumps(agent_row(timezone.now()))
    path = tmp_path / "rows.jsonl"
    bad = [b"{", b'{"id": 7}', b"\xff", b"[" * 100_000, b'"' + b"x" * (2 * LONGEST_LINE) + b'"']
    path.write_bytes(b"\n".join([good, *bad, b"", good]))
    said = call_command("import_agent_stats", str(path))
    assert said.startswith("1 agent rows taken in, 1 known already, 5 bad")
    assert [entry["line"] for entry in rejected(path)] == [2, 3, 4, 5, 6]
    assert rejected(path)[1]["field"] == "id"
    assert rejected(path)[0]["text"] == "{"
    assert AgentStat.objects.count() == 1


@pytest.mark.django_db
def test_a_clean_file_leaves_no_file_of_bad_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "states.jsonl", [workspace_row(1)])
    call_command("import_workspaces", str(path))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.django_db
def test_rows_come_through_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    source = io.TextIOWrapper(io.BytesIO(orjson.dumps(workspace_row(1))))
    monkeypatch.setattr(sys, "stdin", source)
    call_command("import_workspaces", "-")
    assert WorkspaceState.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_import_of_a_pipe_ends_when_it_is_told_to_though_nothing_comes() -> None:
    importing = started("import_workspaces", "-", stdin=subprocess.PIPE)
    try:
        assert importing.stdin
        importing.stdin.write(orjson.dumps(workspace_row(1)).decode() + "\n")
        importing.stdin.flush()
        wait_for(lambda: has_begun(importing))
        importing.send_signal(signal.SIGINT)
        assert importing.wait(30) == 1
    finally:
        importing.kill()
        importing.communicate()


def has_begun(importing: subprocess.Popen[str]) -> bool:
    """Whether it has looked into the database, and waits for what is to come."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with connection.cursor() as cursor:
        cursor.execute(f"{query} AND query LIKE '%deployment_fileimport%' AND state = 'idle'")
        return bool(cursor.fetchone()[0])


if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd.compress}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.jsonl.gz", "rows.jsonl.zst"])
def test_files_are_read_as_their_names_say(tmp_path: Path, name: str) -> None:
    row = agent_row(
        timezone.now(), rx_bytes=7, connection_median_latency_ms=1.5, connections_by_proto={"a": 1}
    )
    lines = io.StringIO()
    writer = csv.DictWriter(lines, row)
    writer.writeheader()
    writer.writerow(_texts(row))
    text = lines.getvalue().encode() if ".csv" in name else orjson.dumps(row)
    path = tmp_path / name
    path.write_bytes(PACKED.get(path.suffix, bytes)(text))
    assert "1 agent rows taken in" in call_command("import_agent_stats", str(path))
    known = AgentStat.objects.get()
    assert (known.rx_bytes, known.connections_by_proto) == (7, {"a": 1})


def _texts(row: dict[str, Any]) -> dict[str, str]:
    return {k: orjson.dumps(v).decode() if isinstance(v, dict) else str(v) for k, v in row.items()}


@pytest.mark.django_db
def test_empty_texts_of_csv_are_left_out_and_bad_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "states.csv"
    path.write_text(
        "workspace_id,deleted,build_number,transition,job_started_at,error,colour\n"
        f'{uuid.UUID(int=1)},t,3,start,,"two\nlines",red\n'
        f"{uuid.UUID(int=2)},maybe,,,,,\n"
        f"{uuid.UUID(int=3)},,x,,,,\n"
        "too,few\n"
        f"{uuid.UUID(int=4)},,,,,,\n"
    )
    assert "2 workspace states taken in, 0 known already, 3 bad" in call_command(
        "import_workspaces", str(path)
    )
    known = WorkspaceState.objects.get(workspace_id=uuid.UUID(int=1))
    assert (known.deleted, known.build_number, known.error) == (True, 3, "two\nlines")
    assert [(entry["line"], entry["field"]) for entry in rejected(path)] == [
        (4, "deleted"),
        (5, "build_number"),
        (6, ""),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "contents", "complaint"),
    [
        ("rows.csv", b"a,b\n1,2\n", "names none of"),
        ("rows.csv", b"", "names none of"),
        ("rows.csv", b'"id', "header is not CSV"),
        ("rows.csv", b'id\n"open', r"Nothing was taken in\."),
        ("rows.jsonl.gz", b"no gzip", "gzip"),
        ("rows.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "ended before"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, contents: bytes, complaint: str) -> None:
    path = tmp_path / name
    path.write_bytes(contents)
    with pytest.raises(CommandError, match=complaint):
        call_command("import_agent_stats", str(path))


@pytest.mark.django_db
def test_what_is_before_the_break_in_a_file_stays(tmp_path: Path) -> None:
    """The whole file, once it is there, is gone on with."""
    chance, rows = random.Random(7), reading_ahead.BATCH_ROWS - 1  # noqa: S311 - the same each time
    lines = [f"{uuid.UUID(int=chance.getrandbits(128))},1" for _ in range(rows)]
    packed = gzip.compress("\n".join(["workspace_id,build_number", *lines]).encode(), mtime=0)
    path = tmp_path / "states.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(CommandError, match="ended before"):
        call_command("import_workspaces", str(path))
    before = WorkspaceState.objects.count()
    assert 0 < before < rows
    path.write_bytes(packed)
    said = call_command("import_workspaces", str(path))
    assert said.startswith(f"{before} lines were in before. {rows - before} workspace states taken")


@pytest.mark.django_db
def test_broken_csv_is_set_aside_as_it_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "states.csv"
    bad = ['"abc"d,1,', f'{uuid.UUID(int=2)},x,"two', 'lines"', '"open']
    good = [f'{uuid.UUID(int=1)},1,"two', 'lines"', f"{uuid.UUID(int=3)},1,"]
    path.write_text("\n".join(["workspace_id,build_number,error", *bad[:3], *good, bad[3]]))
    said = call_command("import_workspaces", str(path))
    assert said.startswith("2 workspace states taken in, 0 known already, 3 bad")
    assert [(each["line"], each["field"], each["text"]) for each in rejected(path)] == [
        (2, "", bad[0]),
        (4, "build_number", "\n".join(bad[1:3])),
        (8, "", bad[3]),
    ]
    assert rejected(path)[1]["detail"] == "'x' is not its kind of value"


def keep_mark(path: Path, *, lines: int) -> None:
    """As where an import of workspaces stopped after so many lines."""
    with path.open("rb") as file:
        known = checksum(islice(json_records(file), lines))
    Progress(str(path), kind="workspace").keep(Mark(lines, known), now=timezone.now())


@pytest.mark.django_db
def test_an_import_that_stopped_begins_anew_where_its_file_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [workspace_row(number, error="e" * 700) for number in range(200)]
    path = write(tmp_path / "states.jsonl", rows)
    keep_mark(path, lines=150)
    write(path, [*rows[:120], *rows[130:]])
    said = call_command("import_workspaces", str(path))
    assert said == "190 workspace states taken in, 0 known already, 0 bad."
    assert "has changed since an import stopped" in capsys.readouterr().err


@pytest.mark.django_db
def test_where_bad_lines_cannot_go_nothing_is_taken_in(tmp_path: Path) -> None:
    path = write(tmp_path / "states.jsonl", [workspace_row(1)])
    with pytest.raises(CommandError, match=r"no/such\.rejected: there is no directory"):
        call_command(
            "import_workspaces", str(path), "--rejected", str(tmp_path / "no/such.rejected")
        )
    assert not WorkspaceState.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl.zst"])
def test_a_packed_file_that_is_broken_inside_is_named(tmp_path: Path, name: str) -> None:
    pack = PACKED[Path(name).suffix]
    packed = bytearray(pack(hashlib.shake_128().digest(9000)))
    packed[4000:4100] = bytes(100)
    path = tmp_path / name
    path.write_bytes(packed)
    with pytest.raises(CommandError, match=name):
        call_command("import_agent_stats", str(path))


@pytest.mark.django_db
def test_an_import_that_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_ahead, "BATCH_ROWS", 2)
    rows = [workspace_row(number) for number in range(5)]
    path = write(tmp_path / "states.jsonl", rows)
    keep_mark(path, lines=3)
    said = call_command("import_workspaces", str(path))
    assert said == "3 lines were in before. 2 workspace states taken in, 0 known already, 0 bad."
    again = call_command("import_workspaces", str(path))
    assert again == "3 workspace states taken in, 2 known already, 0 bad."


@pytest.mark.django_db(transaction=True)
def test_an_import_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    now = timezone.now()
    rows = [
        agent_row(now, agent=number, rx_bytes=1, connection_median_latency_ms=1)
        for number in range(importing.GROUP_ROWS + 2 * reading_ahead.BATCH_ROWS)
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    killed = started("import_agent_stats", str(path))
    wait_for(lambda: FileImport.objects.exists() or killed.poll() is not None, seconds=90)
    killed.kill()
    killed.communicate()
    before = AgentStat.objects.count()
    assert before % reading_ahead.BATCH_ROWS == 0
    said = call_command("import_agent_stats", str(path))
    assert "lines were in before" in said or before == len(rows)
    assert agent_figures(now, most_exact_rows=0).rx_bytes == len(rows)
    assert AgentStat.objects.count() == len(rows)


def started(*command: str, **options: Any) -> subprocess.Popen[str]:
    """A command of its own process, on the tests' database."""
    url = in_database(os.environ["DATABASE_URL"], connection.settings_dict["NAME"])
    return subprocess.Popen(
        [sys.executable, "manage.py", *command],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.django_db(transaction=True)
def test_the_loop_takes_snapshots_until_it_is_told_to_stop() -> None:
    loop = started("collect_deployment_stats", "--loop", "--every", "1s")
    try:
        wait_for(lambda: Snapshot.objects.count() > 1, seconds=90)
        loop.send_signal(signal.SIGTERM)
        said, _ = loop.communicate(timeout=30)
    finally:
        loop.kill()
        loop.communicate()
    assert said == f"{Snapshot.objects.count()} snapshots taken.\n"
    assert loop.returncode == 0


@pytest.mark.django_db(transaction=True)
def test_a_collector_that_is_killed_is_followed_by_the_next() -> None:
    killed = started("collect_deployment_stats", "--loop", "--every", "1s")
    wait_for(Snapshot.objects.exists, seconds=90)
    killed.kill()
    killed.communicate()
    before = Snapshot.objects.count()
    answers = iter([False, True])
    taken = collect_in_a_loop(lambda _: next(answers), every=timedelta(microseconds=1))
    assert Snapshot.objects.count() == before + taken
    assert not JobRun.objects.unfinished().exists()


@pytest.mark.django_db(transaction=True)
def test_a_failed_run_keeps_the_old_snapshot_and_says_why() -> None:
    call_command("collect_deployment_stats")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE deployment_minutesum RENAME TO hidden")
    try:
        with pytest.raises(CommandError, match="deployment_minutesum"):
            call_command("collect_deployment_stats")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden RENAME TO deployment_minutesum")
    assert Snapshot.objects.count() == 1
    assert "deployment_minutesum" in JobRun.objects.order_by("-started_at")[0].error
    call_command("collect_deployment_stats")
    assert Snapshot.objects.count() == 2


@pytest.mark.parametrize("name", ["import_agent_stats", "import_workspaces"])
def test_a_missing_file_is_named(name: str) -> None:
    with pytest.raises(CommandError, match=r"/nowhere/rows\.jsonl: No such file"):
        call_command(name, "/nowhere/rows.jsonl")


@pytest.mark.django_db
def test_a_snapshot_is_taken_once_and_recorded() -> None:
    said = call_command("collect_deployment_stats")
    assert "0 workspaces running" in said
    assert Snapshot.objects.count() == 1
    assert JobRun.objects.of("collect_deployment_stats").get().error == ""


@pytest.mark.django_db
def test_a_moment_that_is_named_again_has_one_snapshot() -> None:
    at = (timezone.now() - timedelta(minutes=1)).isoformat()
    for _ in range(2):
        call_command("collect_deployment_stats", "--at", at)
    assert Snapshot.objects.get().collected_at.isoformat() == at


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--at", "noon"], "not a time"),
        (["--every", "0s"], "less than a second"),
        (["--every", "often"], "often"),
        (["--loop", "--at", "2026-01-01T00:00:00Z"], "does not go with --loop"),
        (["--at", "9999-01-01T00:00:00Z"], "still to come"),
        (["--at", "2001-01-01T00:00:00Z"], "too early: rows are kept for"),
        (["--every", "30s"], "goes with --loop"),
    ],
)
@pytest.mark.django_db
def test_what_makes_no_sense_is_refused(arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        call_command("collect_deployment_stats", *arguments)
