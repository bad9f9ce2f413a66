"""Formats numbers, durations and times for readers, as functions and as template filters.

Templates load the filters with `{% load humanize %}`. Functions with a required parameter `now` are
pure; filters read the clock. In the API, a negative number means "none", so it is formatted as
"none".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from kernel.text.durations import to_nanoseconds, whole_seconds

NONE = "none"
# A year has 365.25 days. With this value, Coder's longest lifetime of 876600 hours is 100 years.
_UNITS = (("year", 31_557_600), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_SHORT_UNITS = (("day", 86_400), ("hour", 3_600), ("min", 60), ("s", 1))

register = template.Library()


def figures(value: float) -> str:
    """Formats a number with three significant digits, or as a whole number: 0.123, 12.3, 1,234."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@register.filter
def count(value: float | None) -> str:
    """Formats a number of things: 1,234."""
    return NONE if value is None or value < 0 else f"{value:,.0f}"


@register.filter
def size(value: float | None) -> str:
    """Formats a number of bytes in units of 1,024: 1.5 KiB."""
    if value is None or value < 0:
        return NONE
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        # The rounded value is compared, so that 1,023.7 KiB is shown as 1 MiB and not as 1,024 KiB.
        if round(value) < 1024:
            return f"{figures(value)} {unit}"
        value /= 1024
    return f"{figures(value)} PiB"


@register.filter
def milliseconds(value: float | None) -> str:
    """Formats milliseconds with three significant digits: 12.3 ms."""
    return NONE if value is None or value < 0 else f"{figures(value)} ms"


@register.filter
def duration(length: timedelta | int | None) -> str:
    """Formats a duration in its two largest units: 7 days, 1 hour 30 minutes.

    Units: an integer is a number of nanoseconds.
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
        # Durations of less than ten years are shown in days.
        if number >= (10 if unit == "year" else 1):
            parts.append(plural(number, unit))
            seconds = rest
    return " ".join(parts[:2]) or "0 seconds"


def plural(number: int, unit: str) -> str:
    """Formats a number with its unit: 1 day, 1,234 days."""
    return f"{number:,} {unit}" if number == 1 or unit in {"min", "s"} else f"{number:,} {unit}s"


def ago(moment: datetime | None, *, now: datetime) -> str:
    """Formats a time relative to now: 4 min ago, in 3 days, just now, never."""
    if moment is None:
        return "never"
    seconds = int(abs(now - moment).total_seconds())
    is_future = moment > now
    if is_future and seconds >= 3_600:
        # A token that was created a second ago for two days expires in two days, not in 48 hours.
        seconds = -(-seconds // 60) * 60
    for unit, size_of_unit in _SHORT_UNITS:
        # A unit is used only if the time is exactly one unit, or at least two units. So 90 minutes
        # are not shown as "1 hour".
        if seconds >= 2 * size_of_unit or seconds == size_of_unit:
            # What is left is rounded to the nearest number, and an age is rounded down.
            number = (seconds + size_of_unit // 2 * is_future) // size_of_unit
            length = plural(number, unit)
            return f"in {length}" if is_future else f"{length} ago"
    return "just now"


def on_hover(text: str, moment: datetime | None) -> SafeString:
    """Renders the text as a <time> element, which shows the exact time in UTC on hover."""
    if moment is None:
        return format_html("{}", text)
    exact = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    machine = f"{exact.replace(' ', 'T')}Z"
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', machine, exact, text)


@register.filter
def since(moment: datetime | None, now: datetime | None = None) -> SafeString:
    """Formats a time relative to now. The page shows the exact time on hover."""
    return on_hover(ago(moment, now=now or timezone.now()), moment)
