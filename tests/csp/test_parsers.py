from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csp.importing import EARLIEST, parse_lines, received_at
from csp.noise.rules import Rules
from csp.parsing.formats import Format, as_sent, parse
from csp.parsing.tolerant_json import load
from csp.writing.terms import Terms
from kernel.commands.line_imports import Record
from kernel.http.errors import APIError
from tests.support.csp.reports import legacy, modern


@pytest.mark.parametrize(
    ("value", "format"),
    [
        (legacy(), Format.REPORT_URI),
        ([modern()], Format.REPORTING_API),
        (
            {"type": "csp-violation", "url": "https://a.example/", **legacy()},
            Format.WEBKIT_REPORT_URI,
        ),
        ({"type": "csp-violation", "url": "u", "body": modern()["body"]}, Format.WEBKIT),
        ([legacy()], Format.REPORT_URI),
    ],
)
def test_every_format_is_parsed(value: Any, format: Format) -> None:
    [violation] = parse(value).violations
    assert parse(as_sent(asdict(violation))).violations == [replace(violation, age_ms=0)]
    assert violation.format is format
    assert violation.blocked_uri == "https://cdn.example.net/lib.js"
    assert violation.effective_directive == "script-src-elem"
    assert violation.document_uri == "https://coder.example.com/workspaces"


@pytest.mark.parametrize(
    ("sent", "number"),
    [
        (10, 10),
        ("10", 10),
        (10.0, 10),
        ("ten", None),
        (-1, None),
        (2**31, None),
        ([], None),
        (None, None),
        (True, 1),
        ("9" * 400, None),
        ("\u0661", None),
        (" 10 ", 10),
        ("0" * 20 + "200", 200),
        ("", None),
    ],
)
def test_numbers_can_be_strings(sent: Any, number: int | None) -> None:
    [violation] = parse(legacy(line_number=sent)).violations
    assert violation.line_number == number


def test_unknown_members_are_kept_and_those_of_a_wrong_type_ignored() -> None:
    [violation] = parse(legacy(policy_id="x", blocked_uri="inline")).violations
    assert violation.other_members == {"policy-id": "x"}
    [violation] = parse(legacy(blocked_uri=7, source_file=["x"], disposition={})).violations
    assert (violation.blocked_uri, violation.source_file, violation.disposition) == ("", "", "")
    # The document of the envelope is the default.
    item = modern()
    del item["body"]["documentURL"]
    assert parse([item]).violations[0].document_uri == item["url"]


def test_each_item_has_its_own_verdict() -> None:
    parsed = parse([modern(), "x", {"type": "csp-hash", "body": {}}, {"type": "csp-violation"}])
    assert (len(parsed.violations), len(parsed.others), parsed.invalid) == (1, 1, 2)


@pytest.mark.parametrize("body", [{}, {"body": None}, {"body": "x"}])
def test_report_of_another_type_needs_no_body(body: dict[str, Any]) -> None:
    parsed = parse([{"type": "deprecation", **body}])
    assert (len(parsed.others), parsed.invalid) == (1, 0)


_any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_any)
def test_any_json_is_loaded_as_postgresql_accepts_it(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        loaded = load(body)
    except APIError as error:
        # NaN and infinities, as Python writes them, are not JSON.
        assert error.status == 400  # noqa: PT017
        return
    json.dumps(loaded, ensure_ascii=False, allow_nan=False).encode("utf-8")
    assert "\\u0000" not in json.dumps(loaded)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'"\\u0000"', "\ufffd"),
        (b'"\\ud800"', "\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'{"\\u0000a": ["\xff"]}', {"\ufffda": ["\ufffd"]}),
        (b"[1e400, -1e400, 1.5]", [None, None, 1.5]),
        (b"[" + b"9" * 5000 + b"]", [None]),
        (
            b'["\t", ' + b"9" * 20 + b", -9223372036854775809, 9223372036854775807]",
            ["\t", None, None, 2**63 - 1],
        ),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16-be"), {"a": "é"}),
        (b'{"a": "x\0y\nz"}', {"a": "x\ufffdy\nz"}),
    ],
)
def test_values_that_postgresql_rejects_are_replaced(body: bytes, value: Any) -> None:
    assert load(body) == value


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 40 + b"]" * 40, b"NaN", b"{'a': 1}"])
def test_invalid_json_is_rejected(body: bytes) -> None:
    with pytest.raises(APIError) as caught:
        load(body)
    assert caught.value.status == 400


NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
RETENTION = timedelta(days=90)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04T05:06:00Z", NOW),
        ("2026-03-04T06:06:00+01:00", NOW),
        ("2025-12-04T05:06:00Z", NOW - RETENTION),
    ],
)
def test_time_of_arrival_is_parsed(text: str, moment: datetime) -> None:
    found = received_at({"received_at": text}, now=NOW, retention=RETENTION)
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("0001-01-01T00:00:00Z", "before 2000"),
        ("0001-01-01T00:00:00+14:00", "out of range"),
        ("1999-12-31T23:59:59Z", "before 2000"),
        ("9999-12-31T23:59:59-14:00", "out of range"),
        ("2026-03-04T05:06:01Z", "in the past"),
        ("2025-12-04T05:05:59Z", "CODERAPI_CSP_RETENTION"),
        ("2026-03-04T05:06:00", "with its time zone"),
        ("2026-03-04", "with its time zone"),
        ("yesterday", "not a time"),
        ("", "not a time"),
        ("9" * 5000, "not a time"),
        (1_772_600_760, "not a time"),
        (None, "not a time"),
        ({}, "not a time"),
    ],
)
def test_invalid_time_is_rejected_with_the_reason(value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        received_at({"received_at": value}, now=NOW, retention=RETENTION)
    assert len(str(caught.value)) < 200


@example("2000-01-01T00:00:00Z")
@given(
    st.text(max_size=40)
    | st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat)
    | st.integers()
    | st.none()
)
def test_any_time_is_parsed_or_rejected(value: Any) -> None:
    try:
        found = received_at({"received_at": value}, now=NOW, retention=timedelta(0))
    except ValueError:
        assert value != "2000-01-01T00:00:00Z"
        return
    assert EARLIEST <= found <= NOW
    assert found.tzinfo is UTC


@given(st.binary(max_size=200) | st.from_regex(rb"\[?(\{\"body\":(\{\}|5)\},?|[0-9],?){0,5}\]?"))
def test_any_line_is_parsed_or_rejected(text: bytes) -> None:
    record = Record(1, text, len(text))
    found = parse_lines([record], Terms(Rules(), frozenset(), b""), now=NOW)
    assert found.entries or found.others or found.refused
