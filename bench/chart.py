"""Draws the chart of growth as SVG, for pages with a light or a dark background."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 170, 30, 250
COLORS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444")
GRAY = "#808080"
MAX_VALUE = 1.5
GRID = (0.0, 0.5, 1.0)

type Points = Sequence[tuple[int, float]]


def chart(lines: Mapping[str, Points]) -> str:
    """Returns a chart with a line for each series: the relative speed by the number of rows."""
    sizes = sorted({size for points in lines.values() for size, _ in points})
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">',
        "<title>Speed relative to the fewest rows</title>",
        *(_grid_line(value) for value in GRID),
        *(_label(_x(size, sizes), BOTTOM + 18, short(size), anchor="middle") for size in sizes),
        _label(LEFT, TOP - 12, "speed relative to the fewest rows"),
        _label(LEFT, BOTTOM + 40, "users or stored reports"),
    ]
    for number, (name, points) in enumerate(lines.items()):
        parts += _series(name, points, sizes, number)
    return "\n".join([*parts, "</svg>\n"])


def short(size: int) -> str:
    """Returns a number of rows for the axis, such as `100k`."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return str(size)


def _x(size: int, sizes: Sequence[int]) -> float:
    """Returns the position on a logarithmic axis. It begins with 0 or 1 row."""
    last = math.log10(max(sizes[-1], 10))
    return LEFT + (WIDTH - RIGHT - LEFT) * math.log10(max(size, 1)) / last


def _y(value: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * min(value, MAX_VALUE) / MAX_VALUE


def _grid_line(value: float) -> str:
    y = _y(value)
    line = f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRAY}" stroke-opacity=".4"/>'
    return line + _label(LEFT - 6, y + 4, f"{value:g}", anchor="end")


def _label(x: float, y: float, text: str, *, anchor: str = "start", color: str = GRAY) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}"'
    return f"<text {place}>{escape(text)}</text>"


def _series(name: str, points: Points, sizes: Sequence[int], number: int) -> list[str]:
    color = COLORS[number % len(COLORS)]
    places = [(_x(size, sizes), _y(value)) for size, value in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places)
    legend = _label(WIDTH - RIGHT + 20, TOP + 20 * number, name, color=color)
    return [f'<polyline points="{path}" fill="none" stroke="{color}"/>', *dots, legend]
