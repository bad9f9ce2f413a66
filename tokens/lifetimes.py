"""Lifetimes as clients send them: a client that means seconds or text gets a hint, not a token."""

from __future__ import annotations

from kernel.durations import DurationError, parse_positive_duration

MIN_LIFETIME_NS = 10**9
DAY_NS = 86_400 * MIN_LIFETIME_NS
ONE_DAY = f"One day is {DAY_NS}."


def parse_lifetime(text: str) -> int:
    """Parses text such as 12h or 30d as nanoseconds, at least a second. Raises: DurationError."""
    lifetime_ns = parse_positive_duration(text)
    if lifetime_ns < MIN_LIFETIME_NS:
        raise DurationError("is less than a second")
    return lifetime_ns


def too_short(lifetime_ns: int) -> str:
    """Returns the message for a number of nanoseconds that was probably meant in seconds."""
    milliseconds = f"{lifetime_ns / 1_000_000:.2f} ms"
    length = f"{lifetime_ns} ns" if milliseconds == "0.00 ms" else milliseconds
    return f"lifetime is in nanoseconds; {lifetime_ns} is {length}. {ONE_DAY}"


def not_a_number(value: object) -> str:
    """Returns the message for text such as "7d"."""
    return f"lifetime is in nanoseconds, not {str(value)[:64]!r}. {ONE_DAY}"
