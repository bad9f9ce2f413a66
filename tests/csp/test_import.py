"""Imports of files: each report counts once, and bad lines are set aside."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, load_command_class
from django.db import connection
from django.utils import timezone

from csp import importing as files
from csp.models import CommittedBatch, Group, GroupHour, Report
from csp.parsing.formats import Format
from kernel.commands.line_imports import MAX_LINE_BYTES, LinesError, Record, Source, records
from kernel.db.connections import connect_directly
from kernel.text.humanize import plural
from tests.support.api.client import APIClient
from tests.support.commands import as_lines, run, write_lines
from tests.support.csp.reports import legacy, modern, send
from tests.support.processes import PROJECT, end_sessions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]
HASH = {"type": "csp-hash", "url": "https://coder.example.com/", "body": {"hash": "sha256-x"}}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BATCH_LINES", 3)


def numbered(*numbers: int) -> list[dict[str, Any]]:
    """Returns a report for each number, of its own host."""
    return [legacy(blocked_uri=f"https://host{number}.example.net/") for number in numbers]


def counts() -> dict[str, int]:
    return {
        blocked.partition(".")[0].removeprefix("host"): count
        for blocked, count in Group.objects.values_list("blocked_source", "reports")
    }


def rejected(file: str | Path) -> list[tuple[int, str]]:
    """Returns number and text of each line that was set aside."""
    entries = map(json.loads, Path(f"{file}.rejected").read_text().splitlines())
    return [(entry["line"], entry["text"]) for entry in entries]


def lines_of(*values: Any) -> Iterator[Record]:
    contents = io.BytesIO(as_lines(*values).encode())
    return records(Source("-", contents, contents, None))


def complaint(file: str | Path, *options: str) -> str:
    """Returns the message of an import with exit status 1."""
    with pytest.raises(CommandError) as caught:
        run("import_csp_reports", str(file), *options)
    return str(caught.value)


def once(numbers: range) -> dict[str, int]:
    return {str(number): 1 for number in numbers}


def test_import_accepts_every_format_and_sets_bad_lines_aside_once(tmp_path: Path) -> None:
    lines = (legacy(), [modern(), modern()], "{nonsense", "", {"a": 1})
    file = write_lines(tmp_path / "reports.jsonl", *lines)
    message = complaint(file)
    assert message.startswith("4 lines, of which 0 had")
    assert (
        "3 reports imported, 0 reports of other types skipped. 2 bad, set aside in "
        f"{file}.rejected; the first is line 3: "
    ) in message
    assert "4 had been imported before" in run("import_csp_reports", file)
    assert rejected(file) == [(3, "{nonsense"), (5, '{"a": 1}')]
    *_, last = Path(f"{file}.rejected").read_text().splitlines()
    assert json.loads(last)["detail"] == "csp-report must be an object"
    assert Report.objects.count() == 3
    assert CommittedBatch.objects.filter(is_imported=True).count() == 1


def test_examples_in_help_and_manual_are_equal_and_valid(
    tmp_path: Path, settings: LazySettings
) -> None:
    shown = load_command_class("csp", "import_csp_reports").create_parser("coderapi", "")
    lines = re.findall(r"^[\[{].*[\]}]$", shown.format_help(), re.MULTILINE)
    settings.CSP_RETENTION = timedelta()
    message = run("import_csp_reports", write_lines(tmp_path / "reports.jsonl", *lines))
    assert message.endswith(f"{len(Format)} reports imported, 0 reports of other types skipped.")
    assert {report.format for report in Report.objects.all()} == set(Format)
    manual = (PROJECT / "docs/csp.md").read_text(encoding="utf-8")
    assert "\n".join(lines) in manual


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("more", [0, 1, 3])
def test_import_of_a_grown_file_continues(tmp_path: Path, more: int) -> None:
    file = write_lines(tmp_path / "reports.jsonl", *[legacy()] * 5)
    run("import_csp_reports", file)
    write_lines(tmp_path / "reports.jsonl", *[legacy()] * (5 + more))
    expected = f"{5 + more:,} lines, of which 5 had been imported before: {plural(more, 'report')}"
    assert expected in run("import_csp_reports", file)
    assert Group.objects.get().reports == 5 + more


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("step", [pytest.param(211, marks=pytest.mark.slow), 700, 1013, 2500])
def test_file_that_grows_within_lines_counts_once(tmp_path: Path, step: int) -> None:
    path = tmp_path / "reports.jsonl"
    whole = as_lines(*numbered(*range(20))).encode()
    for end in range(1, len(whole), step):
        path.write_bytes(whole[:end])
        # Its last line is half a line.
        assert "1 bad" in complaint(path)
    path.write_bytes(whole)
    run("import_csp_reports", str(path))
    assert counts() == once(range(20))
    assert run("import_csp_reports", str(path)).startswith("20 lines, of which 20 had")


@pytest.mark.usefixtures("small_batches")
def test_line_end_of_the_last_line_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text(as_lines(*numbered(*range(5))).rstrip("\n"))
    run("import_csp_reports", str(path))
    path.write_bytes(as_lines(*numbered(*range(6))).encode().replace(b"\n", b"\r\n"))
    assert run("import_csp_reports", str(path)).startswith("6 lines, of which 5 had")
    path.write_text(as_lines(*numbered(*range(5))).rstrip("\n"))
    assert run("import_csp_reports", str(path)).startswith("5 lines, of which 5 had")
    assert counts() == once(range(6))


def test_standard_input_is_known_by_its_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_lines(tmp_path / "reports.jsonl", *numbered(*range(3)), "{bad")
    complaint(file)
    write_lines(tmp_path / "reports.jsonl", *numbered(*range(3)), "{bad", "{worse")
    with Path(file).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        message = complaint("-")
    assert message.startswith("5 lines, of which 4 had")
    assert "1 bad, set aside in stdin.rejected; the first is line 5: " in message
    assert rejected("stdin") == [(5, "{worse")]


@pytest.mark.usefixtures("small_batches")
def test_changed_file_counts_again_from_the_changed_batch(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", *numbered(*range(9)))
    run("import_csp_reports", file)
    write_lines(tmp_path / "a.jsonl", *numbered(0, 1, 2, 3, 40, 5, 6, 7, 8))
    assert run("import_csp_reports", file).startswith("9 lines, of which 3 had")
    assert counts() == once(range(9)) | {"40": 1} | dict.fromkeys("35678", 2)


@pytest.mark.usefixtures("small_batches")
def test_cut_file_counts_again_from_the_last_mark(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", *numbered(*range(9)))
    run("import_csp_reports", file)
    write_lines(tmp_path / "a.jsonl", *numbered(*range(7)))
    assert run("import_csp_reports", file).startswith("7 lines, of which 6 had")
    write_lines(tmp_path / "a.jsonl", *numbered(*range(10)))
    assert run("import_csp_reports", file).startswith("10 lines, of which 9 had")
    assert counts() == once(range(10)) | {"6": 2}


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("step", ["set aside", "committed"])
def test_interrupted_import_continues(step: str) -> None:
    source = [*numbered(*range(5)), "{bad", *numbered(*range(5, 8))]
    aside: list[int] = []

    def imported(*, fails: bool) -> None:
        def advance(number: int) -> None:
            if fails and step == "committed":
                raise KeyboardInterrupt

        def set_aside(record: Record, why: str) -> None:
            aside.append(record.number)
            if fails and step == "set aside":
                raise KeyboardInterrupt

        more: Any = {"advance": advance, "set_aside": set_aside}
        files.import_reports(lines_of(*source), **more)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            imported(fails=True)
    imported(fails=False)
    assert counts() == once(range(8))
    assert set(aside) == {6}


def test_large_file_is_several_batches(tmp_path: Path) -> None:
    then = (timezone.now() - timedelta(days=1)).isoformat()
    extension = {"received_at": then} | legacy(blocked_uri="moz-extension")
    again = files.BATCH_LINES // 20
    file = write_lines(tmp_path / "a.jsonl", *numbered(*range(20)) * (again + 1), "{bad", extension)
    done = complaint(file)
    assert "1,021 reports imported, 0 reports of other types skipped. 1 bad" in done
    assert rejected(file) == [(1021, "{bad")]
    assert counts() == dict.fromkeys(once(range(20)), again + 1) | {"moz-extension": 0}
    assert Group.objects.get(noise_rule__pattern="moz-extension").noise_reports == 1
    assert run("import_csp_reports", file).startswith("1,022 lines, of which 1,022 had")


@pytest.mark.usefixtures("small_batches")
def test_import_survives_lost_connections() -> None:
    more: Any = {
        "advance": lambda number: end_sessions("coderapi csp import"),
        "set_aside": lambda record, why: pytest.fail(why),
    }
    files.import_reports(lines_of(*numbered(*range(8))), **more)
    assert counts() == once(range(8))


def test_only_one_import_runs() -> None:
    more: Any = {"advance": lambda number: None, "set_aside": lambda record, why: None}
    with connect_directly() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [files.LOCK])
        with pytest.raises(LinesError, match="Another import is running"):
            files.import_reports(lines_of(legacy()), lock_seconds=0.05, **more)
        # PostgreSQL notices the end of a connection late.
        other.execute("SELECT pg_advisory_unlock(%s)", [files.LOCK])
    files.import_reports(lines_of(legacy()), **more)
    assert Group.objects.get().reports == 1


def test_bad_items_of_an_array_are_set_aside(tmp_path: Path) -> None:
    late = modern() | {"received_at": "2026-02-30"}
    file = write_lines(tmp_path / "a.jsonl", [modern(), 5, HASH, "bad", [modern()], late], HASH)
    assert "1 report imported, 2 reports of other types skipped. 4 bad" in complaint(file)
    items = rejected(file)
    assert items[:2] == [(1, "5"), (1, '"bad"')]
    assert len(items) == 4
    reasons = Path(f"{file}.rejected").read_text()
    assert "The item is not a report." in reasons
    assert "'2026-02-30' is not a time" in reasons


def test_line_that_is_too_long_is_set_aside(tmp_path: Path) -> None:
    long = as_lines(legacy(sample="x" * MAX_LINE_BYTES))
    path = tmp_path / "a.jsonl"
    path.write_text(long + as_lines(legacy()) + long.rstrip("\n"))
    assert "1 report imported, 0 reports of other types skipped. 2 bad" in complaint(path)
    assert [number for number, _ in rejected(path)] == [1, 3]
    assert run("import_csp_reports", str(path)).startswith("3 lines, of which 3 had")


def test_compressed_file_is_the_same_file(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", *numbered(1, 2))
    run("import_csp_reports", file)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(Path(file).read_bytes()))
    assert run("import_csp_reports", f"{file}.gz").startswith("2 lines, of which 2 had")
    table = write_lines(tmp_path / "a.csv", "document-uri")
    assert "cannot be imported from CSV" in complaint(table)


HUGE = '{"csp-report": {"blocked-uri": "a\tb", "n": %s, "line-number": %s}}' % (("9" * 20,) * 2)


@pytest.mark.usefixtures("small_batches")
def test_bad_line_never_stops_an_import(tmp_path: Path) -> None:
    """A number beyond 64 bits beside a raw tab, and a row that the database rejects."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE csp_report ADD CONSTRAINT c CHECK (blocked_uri !~ 'host1.e')")
    try:
        file = write_lines(tmp_path / "a.jsonl", *numbered(0, 1, 2), HUGE, *numbered(3))
        assert "4 reports imported, 0 reports of other types skipped. 1 bad" in complaint(file)
        assert [number for number, _ in rejected(file)] == [2]
        assert run("import_csp_reports", file).startswith("5 lines, of which 5 had")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE csp_report DROP CONSTRAINT c")
    assert counts() == {"0": 1, "2": 1, "3": 1, "a%20b": 1}


def test_import_keeps_the_time_of_arrival(tmp_path: Path) -> None:
    then = timezone.now() - timedelta(days=3)
    file = write_lines(
        tmp_path / "a.jsonl",
        {"received_at": then.isoformat(), **legacy()},
        [{"received_at": then.isoformat(), **modern(disposition="enforce")}],
    )
    run("import_csp_reports", file)
    assert set(Report.objects.values_list("received_at", flat=True)) == {then}
    assert Group.objects.get().first_seen == then


def test_invalid_times_do_not_stop_an_import(tmp_path: Path) -> None:
    times = ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00"]
    lines = [legacy() | {"received_at": time} for time in times]
    file = write_lines(tmp_path / "a.jsonl", *lines, legacy())
    assert "1 report imported, 0 reports of other types skipped. 3 bad" in complaint(file)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'csp_report_p0%'")
        assert cursor.fetchone() == (0,)
    assert GroupHour.objects.count() == 1


def test_line_can_have_a_version(tmp_path: Path, member: APIClient, settings: LazySettings) -> None:
    settings.CODER_VERSION = "2.29.0"
    send(member, legacy())
    wrong: list[Any] = ["new", "v", "2.", None, 2, {}, f"2.29.0-{'x' * 64}"]
    lines = [{"version": text} | legacy() for text in ("v2.28.1", "2.29.0-rc.1+abc", "", *wrong)]
    message = complaint(write_lines(tmp_path / "a", legacy(), *lines))
    assert f"4 reports imported, 0 reports of other types skipped. {len(wrong)} bad" in message
    assert "line 5: version: " in message
    versions = Report.objects.values_list("version_name", flat=True)
    assert sorted(versions) == ["", "", "2.28.1", "2.29.0", "2.29.0-rc.1+abc"]


def test_import_without_reports_fails_and_known_lines_count(tmp_path: Path) -> None:
    assert " Nothing was imported" in complaint(write_lines(tmp_path / "empty"))
    hashes = write_lines(tmp_path / "hashes", HASH)
    assert "1 report of other types skipped. Nothing was imported; --help" in complaint(hashes)
    assert "1 had been imported before" in run("import_csp_reports", hashes)
