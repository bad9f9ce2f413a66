"""Numbers, durations and times for readers, and times and booleans from texts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.template import engines
from django.utils import timezone

from kernel.text import humanize
from kernel.text.humanize import duration, milliseconds, on_hover, size
from kernel.text.values import parse_bool, parse_time


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 14:00:00+02:00",
        "2026-01-31 12:00:00+00",
        "2026-01-31T12:00:00.0000009Z",
    ],
)
def test_time_is_returned_in_utc_cut_to_microseconds(text: str) -> None:
    time = parse_time(text)
    assert (time, time.tzinfo) == (datetime(2026, 1, 31, 12, tzinfo=UTC), UTC)


NO_TIME = "is not a time such as"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *((text, NO_TIME) for text in ("2026-01-31", "2026-02-30T12:00:00Z", "20260131T120000Z")),
        *((text, NO_TIME) for text in ("٢٠٢٦-01-31T12:00:00Z", None)),
        ("2026-01-31T12:00:00", "with its time zone"),
        ("0001-01-01T00:00:00+14:00", "is out of range"),
    ],
)
def test_text_that_is_no_time_is_rejected(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_time(text)


@pytest.mark.parametrize(
    ("texts", "value"), [("1 t T true TRUE True", True), ("0 f F False", False)]
)
def test_truth_values_are_those_of_go(texts: str, value: bool) -> None:
    assert {parse_bool(text) for text in texts.split()} == {value}
    for text in ("", "yes", "tRue", "2"):
        with pytest.raises(ValueError, match="neither true nor false"):
            parse_bool(text)


NOW = datetime(2026, 11, 26, 9, 18, tzinfo=UTC)
HOUR_NS = 3_600_000_000_000
ago = partial(humanize.ago, now=NOW)


@pytest.mark.parametrize(
    ("shown", "value", "text"),
    [
        (size, 0, "0 B"),
        (size, 1023, "1,023 B"),
        (size, 1024, "1 KiB"),
        (size, 1536, "1.5 KiB"),
        (size, 1024**2 - 1, "1 MiB"),
        (size, 1024**3 * 12.345, "12.3 GiB"),
        (size, 2.0**70, "1,048,576 PiB"),
        (size, -1, "none"),
        (size, None, "none"),
        (milliseconds, 0.01234, "0.0123 ms"),
        (milliseconds, 12.345, "12.3 ms"),
        (milliseconds, 99.96, "100 ms"),
        (milliseconds, 1234.5, "1,234 ms"),
        (milliseconds, -1, "none"),
        (milliseconds, None, "none"),
        (duration, 168 * HOUR_NS, "7 days"),
        (duration, 876_600 * HOUR_NS, "100 years"),
        (duration, 3 * 365 * 24 * HOUR_NS, "1,095 days"),
        (duration, HOUR_NS, "1 hour"),
        (duration, timedelta(hours=1, minutes=30), "1 hour 30 minutes"),
        (duration, timedelta(days=1, seconds=5), "1 day 5 seconds"),
        (duration, timedelta(minutes=5), "5 minutes"),
        (duration, 1_500_000_000, "1 second"),
        (duration, 1_500_000, "1.5 ms"),
        (duration, 0, "0 seconds"),
        (duration, None, "none"),
        (ago, NOW, "just now"),
        (ago, NOW - timedelta(seconds=1), "1 s ago"),
        (ago, NOW - timedelta(seconds=119), "119 s ago"),
        (ago, NOW - timedelta(minutes=4, seconds=59), "4 min ago"),
        (ago, NOW - timedelta(minutes=90), "90 min ago"),
        (ago, NOW - timedelta(hours=47), "47 hours ago"),
        (ago, NOW + timedelta(days=3), "in 3 days"),
        (ago, NOW + timedelta(days=3, seconds=-1), "in 3 days"),
        (ago, NOW + timedelta(days=2, hours=20), "in 3 days"),
        (ago, NOW + timedelta(days=2, seconds=-1), "in 2 days"),
        (ago, NOW + timedelta(days=1, hours=20), "in 44 hours"),
        (ago, NOW - timedelta(days=2, hours=20), "2 days ago"),
        (ago, None, "never"),
    ],
)
def test_values_are_shown_as_text(shown: Callable[[Any], str], value: Any, text: str) -> None:
    assert shown(value) == text


def test_exact_time_is_on_hover_in_utc_and_text_is_escaped() -> None:
    moment = NOW.astimezone(timezone.get_fixed_timezone(120))
    assert on_hover("<now>", moment) == (
        '<time datetime="2026-11-26T09:18:00Z" title="2026-11-26 09:18:00 UTC">&lt;now&gt;</time>'
    )


def test_templates_have_the_filters() -> None:
    source = "{% load humanize %}{{ n|size }} {{ ns|duration }} {{ end|since }} {{ gone|since }}"
    now = timezone.now()
    context: dict[str, Any] = {
        "n": 1536,
        "ns": HOUR_NS,
        "end": now + timedelta(days=3, hours=1),
        "gone": now - timedelta(minutes=4),
    }
    page = engines["django"].from_string(source).render(context)
    assert page.startswith("1.5 KiB 1 hour <time")
    assert ">in 3 days</time>" in page
    assert ">4 min ago</time>" in page
