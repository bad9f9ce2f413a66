"""Times of keys: parsing and warning of lifetimes, and formatting the last use."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.safestring import SafeString

from kernel.text.durations import DurationError, parse_duration, to_timedelta
from kernel.text.humanize import ago, on_hover

MIN_LIFETIME_NS = 10**9
DAY_NS = 86_400 * MIN_LIFETIME_NS
ONE_DAY = f"One day is {DAY_NS}."
SOON_NS = 7 * DAY_NS
SOON = to_timedelta(SOON_NS)
# The use of a key is written at most once in this interval.
TOUCH_INTERVAL = timedelta(hours=1)


def parse_lifetime(text: str) -> int:
    """Parses a string such as 12h or 30d. Returns nanoseconds.

    Raises: DurationError for an invalid duration and for less than a second.
    """
    lifetime_ns = parse_duration(text)
    if lifetime_ns < MIN_LIFETIME_NS:
        raise DurationError("is less than a second")
    return lifetime_ns


def expires_soon(expires_at: datetime, lifetime_ns: int, *, now: datetime) -> bool:
    """Returns whether a key expires within a week. False for lifetimes of a week or less."""
    return lifetime_ns > SOON_NS and expires_at - now < SOON


def last_use(moment: datetime | None, *, now: datetime) -> str:
    """Formats the time of the last use. The use is stored once an hour, so it is not exact."""
    if moment is not None and now - moment < TOUCH_INTERVAL:
        return "within the last hour"
    return ago(moment, now=now)


def last_use_on_hover(moment: datetime | None) -> SafeString:
    """Formats the time of the last use. The page shows the stored time on hover."""
    return on_hover(last_use(moment, now=timezone.now()), moment)
