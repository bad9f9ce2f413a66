"""Timelines as SVG, drawn on the server without script or style, gaps shaded and changes marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, ROOM_BELOW = 800, 160, 20
# The scale has so many parts, and time as well.
PARTS = 4
COLOURS = ("#1f77b4", "#2ca02c", "#ff7f0e", "#d62728", "#9467bd")
GAP_COLOUR = "#808080"


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name and a value for each step, None where there is none."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that changed at a step, such as the build."""

    step: int
    text: str


def timeline(
    series: Sequence[Series],
    *,
    title: str,
    moments: Sequence[datetime],
    shown: Callable[[float], str],
    gaps: Iterable[int] = (),
    markers: Sequence[Marker] = (),
) -> SafeString:
    """The chart: a line for each series over the steps' moments, all on one scale from 0.

    `shown` writes a value on that scale; `gaps` are steps to shade.
    """
    steps = len(moments)
    highest = highest_of(series)
    lines = (
        shape
        for one, colour in zip(series, COLOURS, strict=False)
        for shape in _line(one, colour=colour, highest=highest, steps=steps)
    )
    shapes = [*_gaps(gaps, steps=steps), *_grid(), *lines, *_marks(markers, steps=steps)]
    # What is within the inner one is stretched to the page's width, which letters must not be.
    return format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{}" width="100%" '
        'height="{}"><svg width="100%" height="{}" viewBox="0 0 {} {}" '
        'preserveAspectRatio="none">{}</svg>{}</svg>',
        f"{title}, from 0 to {shown(highest)}",
        HEIGHT + ROOM_BELOW,
        HEIGHT,
        WIDTH,
        HEIGHT,
        _joined(shapes),
        _joined([*_scale(highest, shown=shown), *_times(moments)]),
    )


def _joined(shapes: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((shape,) for shape in shapes))


def _grid() -> Iterator[SafeString]:
    for part in range(PARTS):
        yield format_html(
            '<path d="M0 {}H{}" stroke="{}" stroke-opacity="0.4" '
            'vector-effect="non-scaling-stroke"/>',
            HEIGHT * part // PARTS,
            WIDTH,
            GAP_COLOUR,
        )


def _scale(highest: float, *, shown: Callable[[float], str]) -> Iterator[SafeString]:
    """What the greatest value is, and half of it, under their lines."""
    for part in (0, PARTS // 2):
        yield _text(shown(highest * (1 - part / PARTS)), x=0, y=HEIGHT * part // PARTS + 13)


def _times(moments: Sequence[datetime]) -> Iterator[SafeString]:
    """The time at each quarter, below the chart, in UTC: the date where it is of several days."""
    first, last = moments[0], moments[-1]
    length = (last - first) * len(moments) / max(len(moments) - 1, 1)
    form = "%m-%d" if length > timedelta(days=2) else "%H:%M"
    for part in range(PARTS):
        text = f"{first + length * part / PARTS:{form}}"
        yield _text(text, x=100 * part // PARTS, y=HEIGHT + ROOM_BELOW - 4)
    yield _text(f"{first + length:{form}} UTC", x=100, y=HEIGHT + ROOM_BELOW - 4, anchor="end")


def _text(text: str, *, x: int, y: int, anchor: str = "start") -> SafeString:
    return format_html(
        '<text x="{}%" y="{}" font-size="11" fill="currentColor" text-anchor="{}">{}</text>',
        x,
        y,
        anchor,
        text,
    )


def _x(step: float, *, steps: int) -> float:
    return round(WIDTH * step / max(steps, 1), 2)


def _line(series: Series, *, colour: str, highest: float, steps: int) -> Iterator[SafeString]:
    """One piece for each stretch without a gap."""
    for start, values in _stretches(series.values):
        # A stretch of one step is drawn across that step, or it could not be seen.
        ends = [*enumerate(values, start), (start + len(values), values[-1])]
        places = " ".join(
            f"{_x(step, steps=steps)},{round((HEIGHT - 2) * (1 - value / highest) + 1, 2)}"
            for step, value in ends
        )
        yield format_html(
            '<polyline points="{}" fill="none" stroke="{}" stroke-width="1.5" '
            'vector-effect="non-scaling-stroke"><title>{}</title></polyline>',
            places,
            colour,
            series.name,
        )


def _stretches(values: Iterable[float | None]) -> Iterator[tuple[int, list[float]]]:
    """The runs of values between gaps, each with its first step."""
    run: list[float] = []
    for step, value in enumerate([*values, None]):
        if value is not None:
            run.append(value)
        elif run:
            yield step - len(run), run
            run = []


def _gaps(gaps: Iterable[int], *, steps: int) -> Iterator[SafeString]:
    width = _x(1, steps=steps)
    for step in gaps:
        yield format_html(
            '<rect x="{}" y="0" width="{}" height="{}" fill="{}" fill-opacity="0.25">'
            "<title>no snapshot</title></rect>",
            _x(step, steps=steps),
            width,
            HEIGHT,
            GAP_COLOUR,
        )


def _marks(markers: Iterable[Marker], *, steps: int) -> Iterator[SafeString]:
    for marker in markers:
        x = _x(marker.step, steps=steps)
        yield format_html(
            '<line x1="{}" y1="0" x2="{}" y2="{}" stroke="currentColor" stroke-dasharray="4 3" '
            'vector-effect="non-scaling-stroke"><title>{}</title></line>',
            x,
            x,
            HEIGHT,
            marker.text,
        )


def legend(series: Sequence[Series]) -> SafeString:
    """The names of the lines beside their colours."""
    return format_html_join(
        " ",
        '<span class="nowrap"><svg width="12" height="12" role="presentation">'
        '<rect width="12" height="12" fill="{}"/></svg>&nbsp;{}</span>&ensp;',
        ((colour, one.name) for one, colour in zip(series, COLOURS, strict=False)),
    )


def highest_of(series: Sequence[Series]) -> float:
    """The greatest value, which is the top of the chart."""
    return max((v for one in series for v in one.values if v is not None), default=0) or 1
