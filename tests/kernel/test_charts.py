"""Charts: round ticks, gaps, and the same values on hover and in the table."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import charts
from kernel.charts import BYTES, COUNT, MILLISECONDS, Chart, Series, Unit, render

NOW = datetime(2026, 11, 26, 9, 18, tzinfo=UTC)
UNITS = {"count": COUNT, "bytes": BYTES, "milliseconds": MILLISECONDS}


@pytest.mark.parametrize(
    ("unit", "highest", "labels"),
    [
        (COUNT, 0, ["0", "1"]),
        (COUNT, 3, ["0", "1", "2", "3"]),
        (COUNT, 1200, ["0", "500", "1,000", "1,500"]),
        (BYTES, 0, ["0 B", "1 B"]),
        (BYTES, 3_500_000, ["0 B", "1 MiB", "2 MiB", "3 MiB", "4 MiB"]),
        (BYTES, 1_000_000, ["0 B", "256 KiB", "512 KiB", "768 KiB", "1 MiB"]),
        (MILLISECONDS, 0.07, ["0 ms", "0.02 ms", "0.04 ms", "0.06 ms", "0.08 ms"]),
        (MILLISECONDS, 60, ["0 ms", "20 ms", "40 ms", "60 ms"]),
    ],
)
def test_value_ticks_are_round_in_their_unit(unit: Unit, highest: float, labels: list[str]) -> None:
    assert [unit.write(value) for value in charts.value_ticks(highest, unit)] == labels


@given(st.floats(0, 1e18), st.sampled_from(sorted(UNITS)))
def test_value_ticks_reach_the_highest_value_in_few_steps(highest: float, name: str) -> None:
    ticks = charts.value_ticks(highest, UNITS[name])
    assert ticks[0] == 0
    assert ticks[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(ticks) <= charts.MAX_VALUE_STEPS + 1


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (timedelta(hours=1), ["08:20 Nov 26", "08:30", "08:40", "08:50", "09:00", "09:10"]),
        (timedelta(days=1), ["12:00 Nov 25", "18:00", "00:00 Nov 26", "06:00"]),
        (timedelta(days=30), ["Nov 2 2026", "Nov 9", "Nov 16", "Nov 23"]),
        (timedelta(days=365), ["Jan 2026", "Mar", "May", "Jul", "Sep", "Nov"]),
        (timedelta(minutes=1), ["09:17 Nov 26", "09:18"]),
    ],
)
def test_time_ticks_are_round_and_dated(length: timedelta, labels: list[str]) -> None:
    ticks = charts.time_ticks(NOW - length, NOW)
    assert [f"{label} {context}".strip() for _, label, context in ticks] == labels


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(minutes=1), timedelta(days=4000)),
)
def test_time_ticks_lie_within_the_span(start: datetime, length: timedelta) -> None:
    moments = [moment for moment, _, _ in charts.time_ticks(start, start + length)]
    assert len(moments) <= charts.MAX_TIME_TICKS
    assert moments == sorted(set(moments))
    assert all(start <= moment <= start + length for moment in moments)


class Shapes(HTMLParser):
    """Collects the elements of a chart, and the text within each."""

    def __init__(self, drawn: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(drawn)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data

    def having(self, name: str) -> list[dict[str, str | None]]:
        return [given for _, given in self.elements if name in (given.get("class") or "").split()]

    def text_of(self, tag: str) -> list[str]:
        pairs = zip(self.elements, self.texts, strict=True)
        return [text for (found, _), text in pairs if found == tag]


def chart(**more: Any) -> Chart:
    given: dict[str, Any] = {
        "title": "Traffic",
        "measure": "bytes in {step}",
        "unit": BYTES,
        "start": NOW - timedelta(minutes=20),
        "step": timedelta(minutes=5),
        "series": [Series("received", [2048, 4096, None, 1]), Series("<b>", [1, 2, None, None])],
        "gaps": {2},
        "markers": {1: "build v2"},
    }
    return Chart(**{**given, **more})


def test_values_of_a_step_are_on_hover_and_in_the_table() -> None:
    shapes = Shapes(render(chart()))
    assert shapes.text_of("title") == [
        "2026-11-26 08:58 to 09:03\nreceived: 2 KiB\n<b>: 1 B",
        "2026-11-26 09:03 to 09:08 · build v2\nreceived: 4 KiB\n<b>: 2 B",
        "2026-11-26 09:08 to 09:13\nreceived: no data\n<b>: no data",
        "2026-11-26 09:13 to 09:18\nreceived: 1 B\n<b>: none",
    ]
    assert shapes.text_of("td")[:3] == ["2026-11-26 09:13 to 09:18", "1 B", "none"]
    assert "bytes in 5 minutes" in shapes.text_of("small")


def test_gap_is_shaded_and_breaks_the_line() -> None:
    shapes = Shapes(render(chart()))
    assert len(shapes.having("chart-gap")) == len(shapes.having("chart-marker")) == 1
    lines = [line["d"] for line in shapes.having("chart-1") if line["d"] != "M0 6H24"]
    assert len(lines) == 2
    # A value between two gaps is a line across its step.
    assert re.fullmatch(r"M750\.00 ([\d.]+)L1000\.00 \1", lines[1] or "")


def test_small_bar_is_visible_and_a_missing_value_has_no_bar() -> None:
    values = [0, 1, 100_000, None]
    shapes = Shapes(render(chart(series=[Series("n", values)], unit=COUNT, bars=True, gaps=())))
    heights = [float(bar["height"] or 0) for bar in shapes.having("chart-bar")]
    assert heights == [2, 180]


def test_charts_obey_the_content_policy() -> None:
    drawn = render(chart())
    assert "style=" not in drawn
    assert "<script" not in drawn
    assert "<b>" not in drawn
