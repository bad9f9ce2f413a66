"""Draws charts over time as SVG on the server, without scripts or inline styles.

A chart has steps of equal length. Each series has one value for each step. The chart shows lines or
bars, with ticks at round times and values. A tooltip shows the values of a step. A table has the
same values for keyboards and screen readers. The style sheet sets colors by class, so that they
follow the reader's theme.

The plot is stretched to the width of the page, but its labels must not be stretched. So a chart
consists of three drawings: the value labels, the plot, and the time labels.

Rejected alternatives, checked in 2026: `pygal` 3.1.3 writes inline styles and a script, `leather`
0.4.1 supports neither gaps nor styles by class, and `svg.py` 1.10 only writes SVG elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString

from kernel.text import humanize

# The texts of a step: its period, and the value of each series.
type Texts = Sequence[str]

WIDTH, HEIGHT, MARGIN = 1000, 180, 8
BOTTOM, FULL_HEIGHT = HEIGHT + MARGIN, HEIGHT + 2 * MARGIN
MAX_TIME_TICKS, MAX_VALUE_STEPS = 7, 5
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# The possible distances between two time ticks. MONTH_STEPS are in months.
TIME_STEPS = (
    *(MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 7, 14)),
)
MONTH_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)
# This day is a Monday, so that weekly ticks are on Mondays.
_ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of values. `write` formats a value, `round_up` returns the next round distance."""

    write: Callable[[float], str]
    round_up: Callable[[float], float]


def _decimal_step(length: float) -> float:
    """Returns the smallest number not below `length` that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= length * (1 - 1e-9))


def _binary_step(length: float) -> float:
    """Rounds `length` up to a power of two, so that ticks are round in KiB and MiB."""
    return float(2 ** max(math.ceil(math.log2(length)), 0))


COUNT = Unit(humanize.count, lambda length: max(_decimal_step(length), 1))
BYTES = Unit(humanize.size, _binary_step)
MILLISECONDS = Unit(humanize.milliseconds, _decimal_step)


@dataclass(frozen=True, slots=True)
class Series:
    """The name and the values of a line or of bars. The value of a step without data is None."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """The data of a chart.

    `measure` describes the values; `{step}` in it is replaced with the step's length. Steps in
    `gaps` are shaded. `markers` maps steps to the names of changes, such as a new build.
    """

    title: str
    measure: str
    unit: Unit
    start: datetime
    step: timedelta
    series: Sequence[Series]
    bars: bool = False
    gaps: Collection[int] = ()
    markers: Mapping[int, str] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return min((len(one.values) for one in self.series), default=0)

    @property
    def step_width(self) -> float:
        return WIDTH / max(self.steps, 1)

    def moment(self, step: int) -> datetime:
        return (self.start + self.step * step).astimezone(UTC)

    def share(self, moment: datetime) -> float:
        """Returns the horizontal position of a time on the chart, from 0 to 1."""
        return (moment - self.start) / (self.step * max(self.steps, 1))

    def time_ticks(self) -> list[tuple[datetime, str, str]]:
        return time_ticks(self.moment(0), self.moment(self.steps))

    def texts(self, step: int) -> list[str]:
        """Returns the period of a step with its marker, and its value of each series."""
        start, end = self.moment(step), self.moment(step + 1)
        is_whole_days = self.step % DAY == timedelta()
        clock = "" if is_whole_days else f" {start:%H:%M} to {end:%H:%M}"
        marker = f" · {self.markers[step]}" if step in self.markers else ""
        none = "no data" if step in self.gaps else humanize.NONE
        values = (one.values[step] for one in self.series)
        written = (none if value is None else self.unit.write(value) for value in values)
        return [f"{start:%Y-%m-%d}{clock}{marker}", *written]


def value_ticks(highest: float, unit: Unit) -> list[float]:
    """Returns the tick values: round numbers from 0 up to at least `highest`."""
    step = unit.round_up((highest if highest > 1e-9 else 1) / MAX_VALUE_STEPS)
    return [step * n for n in range(max(math.ceil(highest / step - 1e-9), 1) + 1)]


def time_ticks(start: datetime, end: datetime) -> list[tuple[datetime, str, str]]:
    """Returns the time ticks in UTC, each with a label and the label's context.

    The context is a date or a year. It is "" if the previous tick has the same context.
    """
    times, form, context = _round_times(start, end)
    contexts = ["", *(f"{moment:{context}}" for moment in times)]
    return [
        (moment, f"{moment:{form}}", new if new != old else "")
        for moment, (old, new) in zip(times, pairwise(contexts), strict=True)
    ]


def _round_times(start: datetime, end: datetime) -> tuple[list[datetime], str, str]:
    for step in TIME_STEPS:
        first = _ORIGIN - (_ORIGIN - start) // step * step
        if (count := (end - first) // step + 1) <= MAX_TIME_TICKS:
            forms = ("%H:%M", "%b %-d") if step < DAY else ("%b %-d", "%Y")
            return [first + step * n for n in range(count)], *forms
    months = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    every = next((n for n in MONTH_STEPS if len(months) // n < MAX_TIME_TICKS), MONTH_STEPS[-1])
    firsts = (datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in months if m % every == 0)
    return [moment for moment in firsts if start <= moment <= end], "%b", "%Y"


def render(chart: Chart) -> SafeString:
    """Renders a chart with its title, legend and table."""
    known = [value for one in chart.series for value in one.values if value is not None]
    ticks = value_ticks(max(known, default=0), chart.unit)
    measure = chart.measure.format(step=humanize.duration(chart.step))
    texts = [chart.texts(step) for step in range(chart.steps)]
    return format_html(
        '<figure class="chart"><figcaption>{} <small>{}</small></figcaption>{}'
        '<div class="chart-area">{}{}{}</div>{}</figure>',
        chart.title,
        measure,
        _legend(chart.series),
        _value_labels(ticks, chart.unit),
        _plot(chart, ticks, texts, label=f"{chart.title}, {measure}"),
        _time_labels(chart),
        _table(chart, texts),
    )


def _legend(series: Sequence[Series]) -> SafeString:
    if len(series) < 2:
        return SafeString("")
    entry = (
        '<li><svg width="24" height="12" aria-hidden="true"><path class="chart-line chart-{}" '
        'd="M0 6H24"/></svg> {}</li>'
    )
    entries = format_html_join("", entry, ((n, one.name) for n, one in enumerate(series, 1)))
    return format_html('<ul class="chart-legend">{}</ul>', entries)


def _y(value: float, ticks: Sequence[float]) -> float:
    return round(BOTTOM - HEIGHT * value / ticks[-1], 2)


def _value_labels(ticks: Sequence[float], unit: Unit) -> SafeString:
    text = '<text x="100%" y="{}" text-anchor="end">{}</text>'
    labels = format_html_join("", text, ((_y(v, ticks) + 4, unit.write(v)) for v in ticks))
    svg = '<svg class="chart-values" width="76" height="{}" aria-hidden="true">{}</svg>'
    return format_html(svg, FULL_HEIGHT, labels)


def _time_labels(chart: Chart) -> SafeString:
    labels = []
    for number, (moment, label, context) in enumerate(chart.time_ticks()):
        x = 100 * chart.share(moment)
        # A narrow screen is too small for all labels, so the style sheet hides every second one.
        place = (f"{x:.2f}", "end" if x > 95 else "middle", "" if context or not number % 2 else 2)
        labels += [(*place, 13, label), (*place, 27, context)]
    text = '<text x="{}%" text-anchor="{}" class="chart-tick{}" y="{}">{}</text>'
    svg = '<svg class="chart-times" width="100%" height="32" aria-hidden="true">{}</svg>'
    return format_html(svg, format_html_join("", text, labels))


def _plot(
    chart: Chart, ticks: Sequence[float], texts: Sequence[Texts], *, label: str
) -> SafeString:
    steps = range(chart.steps)
    shapes = [
        *(_path("grid", f"M0 {_y(value, ticks)}H{WIDTH}") for value in ticks),
        *(_upright("grid", chart, moment) for moment, _, _ in chart.time_ticks()),
        *(_rectangle("gap", chart, n, MARGIN, HEIGHT) for n in steps if n in chart.gaps),
        *(_bars(chart, ticks) if chart.bars else _lines(chart, ticks)),
        *(_upright("marker", chart, chart.moment(n)) for n in chart.markers),
        *(_rectangle("step", chart, n, 0, FULL_HEIGHT, _summary(chart, texts[n])) for n in steps),
    ]
    return format_html(
        '<svg class="chart-plot" role="img" aria-label="{}" width="100%" height="{}" '
        'viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>',
        f"{label}, from 0 to {chart.unit.write(ticks[-1])}",
        FULL_HEIGHT,
        WIDTH,
        FULL_HEIGHT,
        SafeString("".join(shapes)),
    )


def _path(name: str, d: str) -> SafeString:
    return format_html('<path class="chart-{}" d="{}"/>', name, d)


def _upright(name: str, chart: Chart, moment: datetime) -> SafeString:
    return _path(name, f"M{WIDTH * chart.share(moment):.2f} {MARGIN}v{HEIGHT}")


def _rectangle(
    name: str, chart: Chart, step: int, top: float, height: float, title: str = ""
) -> SafeString:
    """Draws a rectangle with the width of a step."""
    sides = (step * chart.step_width, top, chart.step_width, height)
    x, y, width, height = (round(number, 2) for number in sides)
    child = f"<title>{escape(title)}</title>" if title else ""
    # A chart has hundreds of rectangles, and `format_html` takes ten times as long.
    shape = f'<rect class="chart-{name}" x="{x}" y="{y}" width="{width}" height="{height}">'
    return SafeString(f"{shape}{child}</rect>")


def _bars(chart: Chart, ticks: Sequence[float]) -> Iterator[SafeString]:
    for step, value in enumerate(chart.series[0].values):
        if value:
            # A bar is at least two pixels high, so that small values are visible.
            top = min(_y(value, ticks), BOTTOM - 2)
            yield _rectangle("bar", chart, step, top, BOTTOM - top)


def _lines(chart: Chart, ticks: Sequence[float]) -> Iterator[SafeString]:
    """Draws a line through the middle of its steps for each run of values without a gap."""
    width = chart.step_width
    for number, one in enumerate(chart.series, 1):
        for _, run in groupby(enumerate(one.values), key=lambda pair: pair[1] is None):
            points = [(width * (n + 0.5), _y(v, ticks)) for n, v in run if v is not None]
            if len(points) == 1:  # A single point becomes a line as wide as its step.
                points = [(points[0][0] + side * width / 2, points[0][1]) for side in (-1, 1)]
            if points:
                path = "M" + "L".join(f"{x:.2f} {y}" for x, y in points)
                yield _path(f"line chart-{number}", path)


def _summary(chart: Chart, texts: Texts) -> str:
    pairs = zip(chart.series, texts[1:], strict=True)
    return "\n".join([texts[0], *(f"{one.name}: {text}" for one, text in pairs)])


def _table(chart: Chart, texts: Sequence[Texts]) -> SafeString:
    """Renders the values as a table, newest step first."""
    return format_html(
        '<details><summary>As a table</summary><div class="wide" tabindex="0" role="region" '
        'aria-label="{}"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
        "</details>",
        f"{chart.title} as a table",
        _cells("th", ["Time (UTC)", *(one.name for one in chart.series)]),
        SafeString("".join(f"<tr>{_cells('td', row)}</tr>" for row in reversed(texts))),
    )


def _cells(tag: str, texts: Iterable[str]) -> SafeString:
    return SafeString("".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts))
