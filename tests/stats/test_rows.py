from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.text.values import parse_time
from stats.ingest.members import AGENT_MEMBERS, WORKSPACE_MEMBERS, Member
from stats.ingest.rows import AgentRow, RowError, agent_row, from_text, parse_row, usual_csv
from tests.support.factories import utc
from tests.support.stats_rows import SESSIONS, workspace_row
from tests.support.stats_rows import agent_row as sent

NOW = utc(2026, 5, 4, 12)
COUNTS = ("connection_count", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
PLAIN = sent(NOW) | {
    "connections_by_proto": {"TCP": 3, "ssh/2": 0},
    **dict.fromkeys(COUNTS, 7),
    "connection_median_latency_ms": 12.5,
    "usage": True,
}
# Rows with all members of a release of Coder, each in its usual format.
USUAL = PLAIN | {f"session_count_{kind}": 7 for kind in SESSIONS}
USUAL_BY_NAME = PLAIN | {"session_counts": {"ssh": 7, "cursor": 2, "code-server": 0}}


@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("id", ["7", None, 7]),
        ("agent_id", ["{00000000-0000-0000-0000-000000000001}"]),
        (
            "created_at",
            [
                *("yesterday", "2026-05-04", "2026-05-04T12:00:00", "0001-01-01T00:00:00+23:00"),
                *(1777896000, ["2026-05-04T12:00:00Z"], "2026-W19-1T12:00:00Z", "2026-05-04T12Z"),
                *("2026-05-04T12:00Z", "20260504T120000Z", "2026-05-04T12:00:00,5Z"),
                *("2026-05-04T12:00:00+00:00:30", "2026-05-04T12:00:00+0000"),
                "2026-13-04T12:00:00Z",
            ],
        ),
        ("rx_bytes", [-1, 1.5, True, "1", 2**63]),
        (
            "connection_median_latency_ms",
            ["fast", float("nan"), float("inf"), 1e300, 1e13, False, "1.5"],
        ),
        (
            "connections_by_proto",
            [["TCP"], "{}", {"TCP": -1}, {"T\0P": 1}, {str(number): 1 for number in range(257)}],
        ),
        ("usage", ["yes", "true", 1]),
        ("session_counts", [3, ["ssh"], {"ssh": -1}, {"ssh": "1"}, dict.fromkeys("ab" * 257, 1.5)]),
        ("session_counts", [{str(number): 1 for number in range(257)}]),
    ],
)
@pytest.mark.parametrize("row", [sent(NOW), USUAL, USUAL_BY_NAME])
def test_an_invalid_member_of_an_agent_row_is_named(
    row: dict[str, Any], member: str, values: list[Any]
) -> None:
    for value in values:
        with pytest.raises(RowError) as raised:
            agent_row(1, row | {member: value})
        assert raised.value.field == member


@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("workspace_id", [""]),
        ("deleted", [0]),
        ("build_number", [-1]),
        ("transition", ["restart", ["start"]]),
        ("job_started_at", ["now"]),
        ("error", ["\0", "e" * 70_000, {}, "token=s3cr3t\0"]),
    ],
)
def test_an_invalid_member_of_a_workspace_state_is_named(member: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(RowError) as raised:
            parse_row(workspace_row(1) | {member: value}, members=WORKSPACE_MEMBERS)
        assert raised.value.field == member
        # The error of a build is not repeated.
        assert "s3cr3t" not in str(raised.value)


@pytest.mark.parametrize("name", ["id", "created_at", "agent_id", "user_id"])
def test_a_missing_required_member_is_named(name: str) -> None:
    row = {member: value for member, value in USUAL.items() if member != name}
    with pytest.raises(RowError, match=f"{name}: is missing"):
        agent_row(1, row)


@pytest.mark.parametrize("usual", [USUAL, USUAL_BY_NAME])
@pytest.mark.parametrize("member", AGENT_MEMBERS)
def test_a_member_that_is_null_counts_as_absent(member: Member, usual: dict[str, Any]) -> None:
    absent = {name: value for name, value in usual.items() if name != member.name}
    null = usual | {member.name: None}
    assert outcome(lambda: by_line(null)) == outcome(lambda: by_line(absent))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-04T12:00:00Z", utc(2026, 5, 4, 12)),
        ("2026-05-04t12:00:00z", utc(2026, 5, 4, 12)),
        ("2026-05-04 12:00:00+00:00", utc(2026, 5, 4, 12)),
        ("2026-05-04 12:00:00.12+00", datetime(2026, 5, 4, 12, 0, 0, 120000, UTC)),
        ("2026-05-04 17:30:00+05:30", utc(2026, 5, 4, 12)),
        ("2026-05-04 09:00:00-03", utc(2026, 5, 4, 12)),
        ("2026-05-04T14:00:00.123456789+02:00", datetime(2026, 5, 4, 12, 0, 0, 123456, UTC)),
        ("2026-05-04T12:00:00.123456789Z", datetime(2026, 5, 4, 12, 0, 0, 123456, UTC)),
        ("2026-05-04T12:00:00.12Z", datetime(2026, 5, 4, 12, 0, 0, 120000, UTC)),
    ],
)
def test_times_are_truncated_to_microseconds_in_utc(text: str, expected: datetime) -> None:
    found = agent_row(1, USUAL | {"created_at": text})
    assert found.created_at == datetime.fromisoformat(values_of(found.line)[1]) == expected


offsets = st.integers(-15 * 60 - 59, 15 * 60 + 59).map(lambda n: timezone(timedelta(minutes=n)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets))  # noqa: DTZ001
def test_every_time_of_postgresql_is_parsed(written: datetime) -> None:
    # PostgreSQL writes no trailing zeros in the fraction and the offset.
    day, offset = f"{written:%Y-%m-%d %H:%M:%S}", f"{written:%:z}".removesuffix(":00")
    fraction = f".{written:%f}".rstrip("0").rstrip(".")
    found = parse_time(f"{written.year:04}{day[day.index('-') :]}{fraction}{offset}")
    assert found == written
    assert found.tzinfo is UTC
    assert parse_time(found.isoformat()) == found


@given(st.text(st.sampled_from("0123456789-+:. TZtz٣"), max_size=34) | st.from_regex(r"\d{4}-.*"))
def test_any_other_text_is_rejected_or_parsed_with_its_offset(written: str) -> None:
    try:
        found = parse_time(written)
    except ValueError as error:
        assert "is not a time such as" in str(error) or "is out of range" in str(error)  # noqa: PT017
    else:
        assert found.tzinfo is UTC
        assert written[:4].isascii()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
good_values = st.one_of(
    st.integers(0, 2**64),
    st.floats(-2, 1e13),
    st.uuids().map(str),
    st.dictionaries(st.text(max_size=3), st.integers(-1, 2**63), max_size=3),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
)
names = st.sampled_from([member.name for member in AGENT_MEMBERS])


@settings(deadline=None)
@given(
    st.sampled_from([USUAL, USUAL_BY_NAME]),
    st.dictionaries(names, json_values | good_values, max_size=6),
)
def test_the_fast_parser_agrees_with_the_parsers_of_the_members(
    usual: dict[str, Any], changed: dict[str, Any]
) -> None:
    row = usual | {"flavour": "mint"} | changed
    outcomes = [outcome(lambda: by_line(row)), outcome(lambda: by_members(row))]
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], list) or outcomes[0] in changed


# The usual rows as PostgreSQL writes them in CSV.
USUAL_TEXTS, USUAL_TEXTS_BY_NAME = (
    {name: json.dumps(value).strip('"') for name, value in usual.items()}
    | {"created_at": "2026-05-04 12:00:00.12+00", "usage": "t"}
    for usual in (USUAL, USUAL_BY_NAME)
)
texts = st.one_of(
    st.sampled_from(
        [
            *("", "\\N", "0", "007", "05.5", "1.50", "-1", "-1.0", "1e3", "T", "true", "yes"),
            *("{}", '{"a":1,"a": 2}', '{"a": 01}', '{"a": 1} ', '{"\\"": 1}', '1","2', "1\n"),
            "2026-13-04 12:00:00+00",
        ]
    ),
    st.text(),
    good_values.map(str),
    good_values.map(json.dumps),
)


@pytest.mark.parametrize("usual", [USUAL_TEXTS, USUAL_TEXTS_BY_NAME])
def test_a_row_in_the_format_of_postgresql_is_usual(usual: dict[str, str]) -> None:
    found = parsed_csv(usual)
    assert found
    assert found.created_at == datetime(2026, 5, 4, 12, 0, 0, 120000, UTC)


@settings(deadline=None)
@given(
    st.sampled_from([USUAL_TEXTS, USUAL_TEXTS_BY_NAME]), st.dictionaries(names, texts, max_size=3)
)
def test_the_fast_parser_of_csv_agrees_with_the_parsers_of_the_members(
    usual: dict[str, str], changed: dict[str, str]
) -> None:
    row = usual | {"flavour": "mint"} | changed
    if found := parsed_csv(row):
        expected = by_members(from_text(row, members=AGENT_MEMBERS))
        assert normalized(values_of(found.line)) == normalized(expected)
        assert (found.id, found.created_at) == (expected[0], expected[1])


@pytest.mark.parametrize("name", PLAIN)
def test_no_parser_of_usual_lines_guesses_a_missing_column(name: str) -> None:
    assert usual_csv([column for column in USUAL if column != name], ",") is None


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        *(
            (counts, [7, 7, 7, 7, None])
            for counts in ({}, {"cursor": 0}, {"code-server": 0, "ssh": 0})
        ),
        ({"ssh": 1}, [0, 0, 0, 1, None]),
    ],
)
def test_kinds_are_used_if_no_application_has_a_session(
    counts: dict[str, int], expected: list[int | None]
) -> None:
    line = by_line(USUAL | {"session_counts": counts})
    assert line == by_members(USUAL | {"session_counts": counts})
    found = parsed_csv(USUAL_TEXTS | {"session_counts": json.dumps(counts)})
    assert found
    assert line[14:] == values_of(found.line)[14:] == expected


def parsed_csv(row: dict[str, str]) -> AgentRow | None:
    text = io.StringIO()
    csv.writer(text).writerow(row.values())
    parse = usual_csv([*row], ",")
    return parse(1, text.getvalue().encode()) if parse else None


def normalized(values: list[Any]) -> list[Any]:
    moment, protocols = datetime.fromisoformat(str(values[1])), orjson.loads(values[6])
    return [values[0], moment, *values[2:6], protocols, *values[7:]]


def outcome(parse: Callable[[], list[Any]]) -> list[Any] | str:
    """Returns the row's values, or the name of the invalid member."""
    try:
        return parse()
    except RowError as error:
        return error.field


def by_line(row: dict[str, Any]) -> list[Any]:
    found = agent_row(1, row)
    values = values_of(found.line)
    assert values[0] == found.id
    assert datetime.fromisoformat(values[1]) == found.created_at
    return [found.id, found.created_at, *values[2:]]


def by_members(row: dict[str, Any]) -> list[Any]:
    names = [member.name for member in AGENT_MEMBERS]
    values = dict(zip(names, parse_row(row, members=AGENT_MEMBERS), strict=True))
    counts = values.pop("session_counts")
    kinds = [values.pop(f"session_count_{kind}") for kind in SESSIONS]
    if counts:
        kinds = [counts.pop(kind, 0) for kind in SESSIONS]
    return [*values.values(), *kinds, counts or None]


def values_of(line: bytes) -> list[Any]:
    texts = line.decode().removesuffix("\n").split("\t")
    others = None if texts[18] == r"\N" else json.loads(texts[18].replace(r"\\", "\\"))
    return [
        *texts[:6],
        texts[6].replace(r"\\", "\\"),
        *map(int, texts[7:12]),
        float(texts[12]),
        texts[13] in ("t", "true", "True"),
        *map(int, texts[14:18]),
        others,
    ]


@pytest.mark.parametrize(
    ("sent_counts", "expected"),
    [
        ({"ssh": 2, "cursor": 0}, {"ssh": 2}),
        ({"VS-Code\x07 ": 1, "vs_code": 2}, {"vs_code": 3}),
        ({"": 1, " \t": 2, "unknown": 4}, {"unknown": 7}),
        ({"x" * 70: 1}, {"x" * 64: 1}),
        ({'Ä"\\': 1}, {'ä"\\': 1}),
        ({"a": 2**63 - 1, "A": 2**63 - 1}, {"a": 2**63 - 1}),
        (
            {f"app{number}": 100 - number for number in range(100)},
            {f"app{number}": 100 - number for number in range(64)}
            | {"unknown": sum(100 - number for number in range(64, 100))},
        ),
    ],
)
def test_names_of_applications_are_cleaned_and_bounded(
    sent_counts: dict[str, int], expected: dict[str, int]
) -> None:
    *_, vscode, jetbrains, terminal, ssh, others = by_line(PLAIN | {"session_counts": sent_counts})
    assert (vscode, jetbrains, terminal, ssh) == (0, 0, 0, expected.pop("ssh", 0))
    assert (others or {}) == expected
