"""The pure parts of the bench: reports of wrk and pgbench, ratios, tables, charts, comparisons."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import report, rows
from bench.chart import chart, short
from bench.compare import differences
from bench.harness import Measure, Row, Scenario, measured
from bench.load import BenchError, Figures, parse_pgbench, parse_wrk
from bench.report import share_of, table, verdict
from bench.requests import reports
from bench.service import kibibytes, role_of

WRK = """Running 1s test @ http://127.0.0.1:8000/
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.72ms    2.10ms  31.12ms   81.23%
  Latency Distribution
     50%  812.00us
     99%    1.20s
  1000 requests in 1.00s, 1.94MB read
{failures}Requests/sec:    990.00
Transfer/sec:      1.92MB
"""


def row(name: str = "ssh", **more: Any) -> Row:
    own: dict[str, Any] = {"name": name, "group": "documents", "figure": "rate"}
    target: dict[str, Any] = {"reference": "bare", "at_least": 0.7, "at_most": None}
    figures = {"ours": [80.0, 90.0, 70.0], "references": [100.0, 100.0, 100.0]}
    return Row(**(own | target | figures | more))


def result(*found: Row) -> dict[str, Any]:
    return {
        "at": "2026-11-27T14:50:00+00:00",
        "minutes": 11.2,
        "machine": {"cores": 2, "python": "3.13.5", "workers": 2, "threads": 64},
        "load": {"average_at_start": 0.1, "busy_between_groups": [0.01, 0.02]},
        "rounds": 3,
        "seconds": 1,
        "groups": ["documents"],
        "failed": {},
        "rows": [each.as_json() for each in found],
    }


def test_wrk_reports_the_rate_and_the_latencies_in_milliseconds() -> None:
    assert parse_wrk(WRK.format(failures="")) == {
        "rate": 990.0, "p50_ms": 0.812, "p99_ms": 1200.0, "errors": 0, "requests": 1000,
    }  # fmt: skip


def test_failed_requests_are_errors_and_not_part_of_the_rate() -> None:
    failures = (
        "  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 100\n"
    )
    found = parse_wrk(WRK.format(failures=failures))
    assert found["rate"] == pytest.approx(891.0)
    assert found["errors"] == 106


@pytest.mark.parametrize(
    "text", ["", WRK.format(failures="").replace("1000 requests", "0 requests")]
)
def test_a_run_without_responses_is_an_error(text: str) -> None:
    with pytest.raises(BenchError, match="wrk reported no responses"):
        parse_wrk(text)


def test_pgbench_reports_its_rate() -> None:
    text = "number of failed transactions: 2 (0.1%)\ntps = 21739.5 (without initial connection)"
    assert parse_pgbench(text) == {"rate": 21739.5, "errors": 2}
    with pytest.raises(BenchError):
        parse_pgbench("")


def test_a_row_has_the_median_and_the_spread_of_the_ratios() -> None:
    found = row()
    assert found.rounds == [0.8, 0.9, 0.7]
    assert found.value == 0.8
    assert found.spread == pytest.approx(0.25)
    assert found.met


@pytest.mark.parametrize(
    ("more", "met", "text"),
    [
        ({}, True, "yes"),
        ({"at_least": 0.81}, False, "no"),
        ({"at_least": None}, None, ""),
        ({"at_least": None, "at_most": 0.8}, True, "yes"),
        ({"at_least": None, "at_most": 0.79}, False, "no"),
        ({"errors": 3}, False, "no: 3 failed requests"),
        ({"failed": "wrk: it\nis away"}, False, "failed: wrk: it is away"),
        ({"reference": "", "at_least": 80.0, "references": []}, True, "yes"),
    ],
)
def test_a_target_is_met_or_not(more: dict[str, Any], met: bool | None, text: str) -> None:
    assert row(**more).met is met
    assert verdict(row(**more)) == text


def test_a_row_survives_json() -> None:
    assert Row.from_json(json.loads(json.dumps(row(note="x").as_json()))) == row(note="x")


def test_rounds_alternate_and_share_the_figures_of_a_measure() -> None:
    played: list[str] = []

    def measure(name: str, rate: float) -> Measure:
        def run(seconds: int) -> Figures:
            played.append(name)
            return {"rate": rate, "p99_ms": 7.0, "errors": 1}

        return Measure(name, run, needs_warm_up=False)

    ours, theirs = measure("ours", 50.0), measure("theirs", 100.0)
    scenarios = [
        Scenario("rate", ours, theirs, at_least=0.4),
        Scenario("latency", ours, at_most=80, figure="p99_ms", note=lambda found: str(len(found))),
    ]
    first, second = measured("group", [scenarios], rounds=2, seconds=1)
    assert played == ["theirs", "ours", "ours", "theirs"]
    assert (first.value, first.errors, second.errors) == (0.5, 4, 2)
    assert (second.value, second.note) == (7.0, "3")


def test_a_failed_measure_is_named_and_the_others_continue() -> None:
    def fail(seconds: int) -> Figures:
        raise BenchError("it is away")

    good, bad = Measure("good", lambda _: {"rate": 1.0}), Measure("bad", fail)
    scenarios = [Scenario("one", good, bad, at_least=1.0), Scenario("two", good)]
    one, two = measured("group", [scenarios], rounds=2, seconds=1)
    assert one.failed == "bad: it is away"
    assert one.value is None
    assert two.ours == [1.0, 1.0]


def test_the_table_has_a_line_for_each_row() -> None:
    small, large = (
        row(f"{size:,} users", series="document", size=size, at_least=None, ours=ours)
        for size, ours in ((1, [80.0] * 3), (1_000, [40.0] * 3))
    )
    found = table(result(row(), row("a|b", failed="away", ours=[], references=[]), small, large))
    assert "| ssh | 80.0/s | 100/s (bare) | 0.80 | 25% | ≥ 0.7 | yes |\n" in found
    assert "| a/b |  |  (bare) |  | 0% | ≥ 0.7 | failed: away |\n" in found
    assert "| document, over bare | 1 | 0.80 | 0% | 1.00 | yes |\n" in found
    assert "| document, over bare | 1,000 | 0.40 | 0% | 0.50 | no |\n" in found


def test_a_figure_without_a_reference_has_its_unit() -> None:
    stop = row("stop", figure="stop_seconds", reference="", references=[], ours=[0.4] * 3)
    stop.at_least, stop.at_most = None, 0.5
    found = table(result(stop))
    assert "| stop | 0.40 s |  |  | 0% | ≤ 0.5 s | yes |\n" in found


def test_a_result_is_never_overwritten(tmp_path: Path) -> None:
    path = report.record(result(row()), tmp_path)
    assert path.name == "2026-11-27T145000.json"
    with pytest.raises(FileExistsError):
        report.record(result(row()), tmp_path)


def test_the_document_keeps_the_text_around_the_generated_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, drawing = tmp_path / "performance.md", tmp_path / "growth.svg"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report, "CHART", drawing)
    report.write_document(result(row(series="document", size=1)))
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert "document" in drawing.read_text()


def test_the_real_document_has_the_marks_and_the_chart() -> None:
    text = report.DOCUMENT.read_text(encoding="utf-8")
    assert text.index(report.BEGIN) < text.index(report.END)
    assert str(report.CHART.relative_to(report.DOCUMENT.parent)) in text
    assert report.CHART.exists()


def test_the_chart_is_xml_with_a_line_for_each_series() -> None:
    lines = {"keys & users": [(0, 1.0), (1_000, 0.9)], "reports": [(0, 1.0), (1_000_000, 9.0)]}
    root = ElementTree.fromstring(chart(lines))  # noqa: S314 - ours
    names = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"keys & users", "reports", "1k", "1M"} <= set(names)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    ys = [float(each.attrib["cy"]) for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert min(ys) >= 0


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (1, "1"), (100_000, "100k"), (10**7, "10M")])
def test_sizes_are_short(size: int, text: str) -> None:
    assert short(size) == text


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (row(), row(ours=[75.0] * 3), ""),
        (row(), row(ours=[95.0] * 3), "ssh: 0.8 → 0.95 (+19%), better\n"),
        (row(), row(ours=[40.0] * 3), "ssh: 0.8 → 0.4 (-50%), worse\n"),
        (row(at_most=1), row(at_most=1, ours=[40.0] * 3), "ssh: 0.8 → 0.4 (-50%), better\n"),
        (row(failed="x"), row(), "ssh: failed in A\n"),
        (row(failed="x"), row(failed="x"), ""),
        (row(), row("config"), "only in A: ssh\nonly in B: config\n"),
    ],
)
def test_only_rows_whose_rounds_do_not_overlap_differ(before: Row, after: Row, line: str) -> None:
    assert "".join(differences([before], [after])) == line


def test_the_busy_share_excludes_idle_time_and_waiting_for_disks() -> None:
    before = [0] * 10
    assert share_of(before, [20, 0, 5, 60, 15, 0, 0, 0, 20, 0]) == 0.25
    assert share_of(before, before) == 0.0


@pytest.mark.parametrize("text", ["it's", "a\\b", "12:30 coder:all", ""])
def test_a_literal_has_no_variable_of_pgbench(text: str) -> None:
    found = rows.literal(text)
    assert ":" not in found
    unquoted = re.sub(r"\\(072|.)", lambda m: {"072": ":"}.get(m[1], m[1]), found[2:-1])
    assert unquoted == text


def test_null_is_a_literal() -> None:
    assert rows.literal(None) == "NULL"


def test_two_runs_send_different_reports() -> None:
    first, second = reports("token"), reports("token")
    assert first != second
    assert '"line-number": %d' in first
    assert "{" + "run}" not in first


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("/usr/bin/python3 manage.py server --web-only", "manage.py server"),
        ("python -c from multiprocessing.spawn import spawn_main; spawn_main(fd=3)", "spawn_main"),
        ("python -m coderapi.server.http", "server.http"),
        ("coderapi: web", "coderapi: web"),
        ("/usr/lib/postgresql/18/bin/postgres -D x", "postgres"),
        ("/usr/bin/other --flag", "other"),
    ],
)
def test_a_process_has_a_short_name(command: str, role: str) -> None:
    assert role_of(command) == role


def test_memory_is_the_proportional_set_size() -> None:
    assert kibibytes("Rss:   900 kB\nPss:   512 kB\nPss_Anon:  1 kB\n") == 512
