"""Numbers, durations and times for readers, as functions and as template filters.

Templates load them with `{% load humanize %}`. Functions with a parameter `now` are pure; filters
read the clock. A negative value means "none" in the API, and is written so.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from kernel.durations import to_nanoseconds, whole_seconds

NONE = "none"
# A year is 365.25 days: Coder's longest lifetime of 876600 hours is 100 years.
_UNITS = (("year", 31_557_600), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_SHORT_UNITS = (("day", 86_400), ("hour", 3_600), ("min", 60), ("s", 1))

register = template.Library()


def figures(value: float) -> str:
    """Writes a number with three digits, or as a whole number: 0.123, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@register.filter
def count(value: float | None) -> str:
    """Writes a number of things: 1,234."""
    return NONE if value is None or value < 0 else f"{value:,.0f}"


@register.filter
def size(value: float | None) -> str:
    """Writes bytes in units of 1,024: 1.5 KiB."""
    if value is None or value < 0:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        # 1,023.7 KiB rounds to 1,024 KiB, which is 1 MiB.
        if round(value) < 1024:
            return f"{figures(value)} {unit}"
        value /= 1024
    return f"{figures(value)} PiB"


@register.filter
def milliseconds(value: float | None) -> str:
    """Writes milliseconds with three digits: 12.3 ms."""
    return NONE if value is None or value < 0 else f"{figures(value)} ms"


@register.filter
def duration(length: timedelta | int | None) -> str:
    """Writes a duration in its two largest units: 7 days, 1 hour 30 minutes.

    Units: an integer is nanoseconds.
    """
    if length is None:
        return NONE
    if isinstance(length, timedelta):
        length = to_nanoseconds(length)
    seconds, parts = whole_seconds(length), []
    if length > 0 and not seconds:
        return milliseconds(length / 1_000_000)
    for unit, size_of_unit in _UNITS:
        number, rest = divmod(seconds, size_of_unit)
        # Lifetimes of less than ten years are usual in days.
        if number >= (10 if unit == "year" else 1):
            parts.append(plural(number, unit))
            seconds = rest
    return " ".join(parts[:2]) or "0 seconds"


def plural(number: int, unit: str) -> str:
    """Writes a number with its unit: 1 day, 1,234 days."""
    return f"{number:,} {unit}" if number == 1 or unit in {"min", "s"} else f"{number:,} {unit}s"


def ago(moment: datetime | None, *, now: datetime) -> str:
    """Writes a time relative to now: 4 min ago, in 3 days, just now, never."""
    if moment is None:
        return "never"
    seconds = int(abs(now - moment).total_seconds())
    for unit, size_of_unit in _SHORT_UNITS:
        # From two units on: 90 minutes are not "1 hour".
        if seconds >= 2 * size_of_unit or seconds == size_of_unit:
            length = plural(seconds // size_of_unit, unit)
            return f"in {length}" if moment > now else f"{length} ago"
    return "just now"


def on_hover(text: str, moment: datetime | None) -> SafeString:
    """Marks up the text of a time, with the exact time in UTC on hover."""
    if moment is None:
        return format_html("{}", text)
    exact = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    machine = f"{exact.replace(' ', 'T')}Z"
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', machine, exact, text)


@register.filter
def since(moment: datetime | None, now: datetime | None = None) -> SafeString:
    """Writes a time relative to now, with the exact time on hover."""
    return on_hover(ago(moment, now=now or timezone.now()), moment)
