"""Parses times and booleans, and rejects invalid ones with a message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2026-01-31", "is not a time such as"),
        ("2026-01-31T12:00:00", "with its time zone"),
        ("2026-02-30T12:00:00Z", "is not a time such as"),
        ("20260131T120000Z", "is not a time such as"),
        ("٢٠٢٦-01-31T12:00:00Z", "is not a time such as"),
        ("0001-01-01T00:00:00+14:00", "is out of range"),
        (None, "is not a time such as"),
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


@pytest.mark.parametrize("text", ["", "yes", "tRue", "2"])
def test_other_words_are_no_truth_values(text: str) -> None:
    with pytest.raises(ValueError, match="neither true nor false"):
        parse_bool(text)
