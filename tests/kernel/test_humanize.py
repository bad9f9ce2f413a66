"""Numbers, durations and times for readers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.template import engines
from django.utils import timezone

from kernel.humanize import ago, duration, milliseconds, on_hover, size

NOW = datetime(2026, 11, 26, 9, 18, tzinfo=UTC)
HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (1024**3 * 12.345, "12.3 GiB"),
        (2.0**70, "1,048,576 PiB"),
        (-1, "none"),
        (None, "none"),
    ],
)
def test_size(value: float | None, text: str) -> None:
    assert size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01234, "0.0123 ms"),
        (12.345, "12.3 ms"),
        (99.96, "100 ms"),
        (1234.5, "1,234 ms"),
        (-1, "none"),
        (None, "none"),
    ],
)
def test_milliseconds(value: float | None, text: str) -> None:
    assert milliseconds(value) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (168 * HOUR_NS, "7 days"),
        (876_600 * HOUR_NS, "100 years"),
        (3 * 365 * 24 * HOUR_NS, "1,095 days"),
        (HOUR_NS, "1 hour"),
        (timedelta(hours=1, minutes=30), "1 hour 30 minutes"),
        (timedelta(days=1, seconds=5), "1 day 5 seconds"),
        (timedelta(minutes=5), "5 minutes"),
        (1_500_000_000, "1 second"),
        (1_500_000, "1.5 ms"),
        (0, "0 seconds"),
        (None, "none"),
    ],
)
def test_duration(length: timedelta | int | None, text: str) -> None:
    assert duration(length) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, "just now"),
        (NOW - timedelta(seconds=1), "1 s ago"),
        (NOW - timedelta(seconds=119), "119 s ago"),
        (NOW - timedelta(minutes=4, seconds=59), "4 min ago"),
        (NOW - timedelta(minutes=90), "90 min ago"),
        (NOW - timedelta(hours=47), "47 hours ago"),
        (NOW + timedelta(days=3), "in 3 days"),
        (None, "never"),
    ],
)
def test_ago(moment: datetime | None, text: str) -> None:
    assert ago(moment, now=NOW) == text


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
