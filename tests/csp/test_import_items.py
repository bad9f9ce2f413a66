"""Reads lines of an import: reports with their time and version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.importing.items import EARLIEST, coder_version, contents, received_at

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
RETENTION = timedelta(days=90)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04T05:06:00Z", NOW),
        ("2026-03-04T06:06+01:00", NOW),
        ("2025-12-04T05:06:00Z", NOW - RETENTION),
    ],
)
def test_time_of_arrival_is_read(text: str, moment: datetime) -> None:
    found = received_at({"received_at": text}, now=NOW, retention=RETENTION)
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0001-01-01T00:00:00Z", "before 2000"),
        ("0001-01-01T00:00:00+14:00", "before 2000"),
        ("1999-12-31T23:59:59Z", "before 2000"),
        ("9999-12-31T23:59:59-14:00", "not come yet"),
        ("2026-03-04T05:06:01Z", "not come yet"),
        ("2025-12-04T05:05:59Z", "CODERAPI_CSP_RETENTION"),
        ("2026-03-04T05:06:00", "no time zone"),
        ("2026-03-04", "no time zone"),
        ("yesterday", "not a time"),
        ("", "not a time"),
        ("9" * 5000, "not a time"),
        (1_772_600_760, "not a time"),
        (None, "not a time"),
        ({}, "not a time"),
    ],
)
def test_time_that_cannot_be_kept_is_refused_with_its_reason(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        received_at({"received_at": value}, now=NOW, retention=RETENTION)
    assert len(str(caught.value)) < 200


def test_retention_of_zero_takes_in_what_is_old() -> None:
    old = "2000-01-01T00:00:00Z"
    assert received_at({"received_at": old}, now=NOW, retention=timedelta(0)).year == 2000


@given(
    st.text(max_size=40)
    | st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat)
    | st.integers()
    | st.none()
)
def test_every_time_is_kept_or_refused(value: Any) -> None:
    try:
        found = received_at({"received_at": value}, now=NOW, retention=timedelta(0))
    except ValueError:
        return
    assert EARLIEST <= found <= NOW
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("envelope", "version"),
    [
        ({}, ""),
        ({"coder_version": ""}, ""),
        ({"coder_version": "2.29.0"}, "2.29.0"),
        ({"coder_version": "v2.29.0-rc.1+abc"}, "2.29.0-rc.1+abc"),
    ],
)
def test_version_is_what_the_line_names(envelope: dict[str, Any], version: str) -> None:
    assert coder_version(envelope) == version


@pytest.mark.parametrize("value", ["new", "v", "2.29", None, 2, {}, f"2.29.0-{'x' * 64}"])
def test_what_is_no_version_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="coder_version is"):
        coder_version({"coder_version": value})


@given(st.binary(max_size=200) | st.from_regex(rb"\[?(\{\"body\":(\{\}|5)\},?|[0-9],?){0,5}\]?"))
def test_nothing_that_a_line_holds_stops_an_import(text: bytes) -> None:
    found = contents(text, now=NOW, retention=RETENTION)
    assert bool(text.strip()) == bool(found.entries or found.other or found.refused)
