"""The pure parts of the bench: reports of wrk and pgbench, ratios, tables, comparisons."""

from __future__ import annotations

from typing import Any

import pytest

from bench.compare import differences
from bench.harness import Measure, Row, Scenario, measured
from bench.load import BenchError, Figures, parse_wrk
from bench.report import table, verdict

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


def test_wrk_reports_the_rate_without_failed_requests_and_the_latencies_in_milliseconds() -> None:
    whole = {"rate": 990.0, "p50_ms": 0.812, "p99_ms": 1200.0, "errors": 0, "requests": 1000}
    assert parse_wrk(WRK.format(failures="")) == whole
    sockets = "  Socket errors: connect 1, read 2, write 0, timeout 3\n"
    found = parse_wrk(WRK.format(failures=f"{sockets}  Non-2xx or 3xx responses: 100\n"))
    assert found["rate"] == pytest.approx(891.0)
    assert found["errors"] == 106


def test_a_row_has_the_median_and_the_spread_of_the_ratios() -> None:
    found = row()
    assert (found.rounds, found.value, found.met) == ([0.8, 0.9, 0.7], 0.8, True)
    assert found.spread == pytest.approx(0.25)


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
