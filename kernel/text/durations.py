"""Parses and formats durations in Go's notation with days and weeks, and rounds times down."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = 1_000
_MILLISECOND = 1_000 * _MICROSECOND
_SECOND = 1_000 * _MILLISECOND
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_UNITS = {
    "ns": 1,
    "us": _MICROSECOND,
    "\u00b5s": _MICROSECOND,  # micro sign
    "\u03bcs": _MICROSECOND,  # Greek mu
    "ms": _MILLISECOND,
    "s": _SECOND,
    "m": _MINUTE,
    "h": _HOUR,
    "d": 24 * _HOUR,
    "w": 7 * 24 * _HOUR,
}
UNITS = "w, d, h, m, s, ms, us or ns"
NOT_A_DURATION = f"is not a duration: numbers with the units {UNITS}"
_LIMIT = 2**63
# Converting a number takes time that grows with the square of its digits.
_MAX_CHARACTERS = 200
# "3 days" is the same as "3d".
_WORD = re.compile(r"\s*(week|day|hour|minute|second)s?\b\s*")
_PART = re.compile(r"(?P<number>[0-9]*\.?[0-9]*)(?P<unit>[^0-9.]*)")
# The JSON schema's pattern of a duration.
_WORDS = r" ?(week|day|hour|minute|second)s?( |$)"
DURATION = rf"^([0-9]+(\.[0-9]+)?([wdhms]|ms|us|ns|{_WORDS}))+$"


class DurationError(ValueError):
    """The string is not a valid duration.

    The message is written to follow the invalid value, for example "lacks a unit".
    """


def parse_duration(text: str) -> int:
    """Parses a duration as Go's time.ParseDuration does. Returns nanoseconds.

    Also accepts days, weeks and the words for units, for example "3d", "3 days" and "1 hour 30
    minutes". Raises: DurationError.
    """
    if len(text) > _MAX_CHARACTERS:
        raise DurationError("is too long for a duration")
    text = _WORD.sub(lambda word: word[1][0], text)
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0
    if not rest:
        raise DurationError(NOT_A_DURATION)
    total = 0
    for part in _PART.finditer(rest):
        # Every piece of the pattern is optional, so the last match is empty.
        if part[0]:
            total += _nanoseconds(part["number"], part["unit"])
    if total > (_LIMIT if sign < 0 else _LIMIT - 1):
        raise DurationError("is longer than 292 years")
    return sign * total


def _nanoseconds(number: str, unit: str) -> int:
    """Returns the nanoseconds of one part. Fractions of a nanosecond are dropped."""
    if not number.strip("."):
        raise DurationError(NOT_A_DURATION)
    if not unit:
        raise DurationError(f"lacks a unit: {UNITS}")
    if unit not in _UNITS:
        raise DurationError(f"has the unknown unit {unit!r}, not {UNITS}")
    return int(Decimal(number) * _UNITS[unit])


def to_timedelta(nanoseconds: int) -> timedelta:
    """Converts nanoseconds to a timedelta, truncated to microseconds."""
    return timedelta(microseconds=nanoseconds // _MICROSECOND)


def to_nanoseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * _MICROSECOND


def whole_seconds(nanoseconds: int) -> int:
    return nanoseconds // _SECOND


def format_duration(nanoseconds: int) -> str:
    """Formats nanoseconds in Go's notation, such as 1h30m0s or 100ms, without days and weeks."""
    sign = "-" if nanoseconds < 0 else ""
    size = abs(nanoseconds)
    if size == 0:
        return "0s"
    if size < _SECOND:
        unit = next(unit for unit in ("ms", "\u00b5s", "ns") if size >= _UNITS[unit])
        return f"{sign}{Decimal(size) / _UNITS[unit]:f}{unit}"
    minutes, rest = divmod(size, _MINUTE)
    hours, minutes = divmod(minutes, 60)
    begin = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{begin}{Decimal(rest) / _SECOND:f}s"


def floor(moment: datetime, span: timedelta) -> datetime:
    """Rounds a time down to a multiple of `span`. Multiples are counted from 1970."""
    return moment - (moment - EPOCH) % span
