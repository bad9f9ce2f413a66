"""A bar chart as SVG, made on the server, so that the admin's pages need no script and no style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

HEIGHT = 120
BAR = 4
GAP = 1


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: int


def bar_chart(bars: Sequence[Bar], *, title: str) -> SafeString:
    """The bars from left to right, each with its label and value; the highest fills the chart."""
    highest = max((bar.value for bar in bars), default=0)
    width = max(len(bars) * (BAR + GAP), 1)
    shapes = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (index * (BAR + GAP), HEIGHT - tall, BAR, tall, bar.label, bar.value)
            for index, bar in enumerate(bars)
            if (tall := _height(bar.value, highest))
        ),
    )
    return format_html(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{}" width="100%" '
        'height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" fill="currentColor">{}</svg>',
        title,
        HEIGHT,
        width,
        HEIGHT,
        shapes,
    )


def _height(value: int, highest: int) -> int:
    """In proportion, but never so small that something looks like nothing."""
    return max(round(HEIGHT * value / highest), 2) if value and highest else 0
