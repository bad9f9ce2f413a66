from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployment.stats.agent_rows import TOGETHER, parse_agent_rows
from deployment.stats.outcome import Rejection
from deployment.stats.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    Member,
    RowError,
    parse_each,
    parse_row,
)
from tests.support.factories import utc
from tests.support.stats_rows import agent_row, workspace_row

NOW = utc(2026, 5, 4, 12)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", "7"),
        ("id", None),
        ("id", 7),
        ("agent_id", "{00000000-0000-0000-0000-000000000001}"),
        ("created_at", "yesterday"),
        ("created_at", "2026-05-04"),
        ("created_at", "2026-05-04T12:00:00"),
        ("created_at", "0001-01-01T00:00:00+23:00"),
        ("created_at", 1777896000),
        ("created_at", ["2026-05-04T12:00:00Z"]),
        ("created_at", "2026-W19-1T12:00:00Z"),
        ("created_at", "2026-05-04T12Z"),
        ("created_at", "2026-05-04T12:00Z"),
        ("created_at", "20260504T120000Z"),
        ("created_at", "2026-05-04T12:00:00,5Z"),
        ("created_at", "2026-05-04T12:00:00+00:00:30"),
        ("created_at", "2026-05-04T12:00:00+0000"),
        ("rx_bytes", -1),
        ("rx_bytes", 1.5),
        ("rx_bytes", True),
        ("rx_bytes", "1"),
        ("rx_bytes", 2**63),
        ("session_count_ssh", None),
        ("connection_median_latency_ms", "fast"),
        ("connection_median_latency_ms", float("nan")),
        ("connection_median_latency_ms", float("inf")),
        ("connection_median_latency_ms", 1e300),
        ("connection_median_latency_ms", False),
        ("connections_by_proto", ["TCP"]),
        ("connections_by_proto", {"TCP": -1}),
        ("connections_by_proto", {"T\0P": 1}),
        ("connections_by_proto", {str(number): 1 for number in range(257)}),
        ("usage", "yes"),
    ],
)
def test_a_bad_member_of_an_agent_row_is_named(member: str, value: Any) -> None:
    with pytest.raises(RowError) as refused:
        parse_row(agent_row(NOW) | {member: value}, members=AGENT_MEMBERS)
    assert refused.value.field == member


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("workspace_id", ""),
        ("deleted", 0),
        ("build_number", -1),
        ("transition", "restart"),
        ("transition", ["start"]),
        ("job_started_at", "now"),
        ("error", "\0"),
        ("error", "e" * 70_000),
        ("error", {}),
    ],
)
def test_a_bad_member_of_a_workspace_state_is_named(member: str, value: Any) -> None:
    with pytest.raises(RowError) as refused:
        parse_row(workspace_row(1) | {member: value}, members=WORKSPACE_MEMBERS)
    assert refused.value.field == member


@pytest.mark.parametrize("name", ["id", "created_at", "agent_id", "user_id"])
def test_a_required_member_may_not_be_missing(name: str) -> None:
    row = agent_row(NOW)
    del row[name]
    with pytest.raises(RowError, match=f"{name}: is missing"):
        parse_row(row, members=AGENT_MEMBERS)


@pytest.mark.parametrize("value", [None, [], "row", 7])
def test_a_row_is_an_object(value: Any) -> None:
    with pytest.raises(RowError, match="must be a JSON object"):
        parse_row(value, members=AGENT_MEMBERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-04T12:00:00Z", utc(2026, 5, 4, 12)),
        ("2026-05-04t12:00:00z", utc(2026, 5, 4, 12)),
        ("2026-05-04 12:00:00+00:00", utc(2026, 5, 4, 12)),
        ("2026-05-04T14:00:00.123456789+02:00", datetime(2026, 5, 4, 12, 0, 0, 123456, UTC)),
    ],
)
def test_times_are_cut_to_microseconds_in_utc(text: str, expected: datetime) -> None:
    assert parse_row(agent_row(NOW, created_at=text), members=AGENT_MEMBERS)[1] == expected


time_texts = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["2026-05-04", "2026-W19-1", "20260504", "0001-01-01", "2026-02-30"]),
    st.sampled_from(["T", "t", " ", ""]),
    st.sampled_from(["12:00:00", "12:00", "12:00:", "12", "120000", "12:00:007", "23:59:60"]),
    st.sampled_from(["", ".5", ".123456789", ",5", ".", " ", ".5 "]),
    st.sampled_from(["Z", "z", " Z", "+00:00", "-00:00", "+02:00", "+00:00:30", "+0000", ""]),
)


@settings(deadline=None)
@given(st.lists(time_texts, min_size=1, max_size=3))
def test_a_time_is_read_alike_whichever_times_come_with_it(texts: list[str]) -> None:
    assert_ways_agree([agent_row(NOW, created_at=text) for text in texts])


def test_unknown_members_are_ignored() -> None:
    parse_row(agent_row(NOW, flavour="mint"), members=AGENT_MEMBERS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([member.name for member in AGENT_MEMBERS])


@settings(deadline=None)
@given(st.dictionaries(names, json_values, max_size=6))
def test_any_json_is_taken_or_refused_by_name(changed: dict[str, Any]) -> None:
    assert _outcome(agent_row(NOW) | changed) in {"taken", *changed}


def _outcome(row: dict[str, Any]) -> str:
    try:
        parsed = parse_row(row, members=AGENT_MEMBERS)
    except RowError as error:
        return error.field
    assert isinstance(orjson.loads(parsed[6]), dict)
    return "taken"


COMPLETE = {
    "connections_by_proto": {"TCP": 1},
    "connection_median_latency_ms": 1.5,
    "usage": True,
} | {member.name: 3 for member in AGENT_MEMBERS if member.default == 0 and member.name != "usage"}


changes = st.dictionaries(names, json_values | st.uuids().map(str) | st.just(-1), max_size=2)


@settings(deadline=None)
@given(st.lists(changes, max_size=4))
def test_the_quick_way_parses_as_the_slow_one_does(changed: list[dict[str, Any]]) -> None:
    assert_ways_agree([agent_row(NOW) | COMPLETE | each for each in changed])


@pytest.mark.parametrize("member", AGENT_MEMBERS, ids=lambda member: member.name)
def test_the_quick_way_takes_rows_without_optional_members(member: Member) -> None:
    row = agent_row(NOW) | COMPLETE
    del row[member.name]
    assert_ways_agree([row])
    assert_ways_agree([agent_row(NOW) | COMPLETE, row])


@pytest.mark.parametrize("place", [0, TOGETHER - 1, TOGETHER, 2 * TOGETHER])
def test_a_bad_row_costs_no_other(place: int) -> None:
    rows: list[Any] = [agent_row(NOW) for _ in range(2 * TOGETHER + 1)]
    rows[place] |= {"agent_id": f"{rows[place]['agent_id']} "}
    assert len(assert_ways_agree(rows)) == len(rows) - 1


@pytest.mark.parametrize("value", [None, [], "row", 7, {}])
def test_the_quick_way_refuses_what_is_no_row(value: Any) -> None:
    assert not assert_ways_agree([value])


def assert_ways_agree(values: list[Any]) -> list[tuple[Any, ...]]:
    quickly: list[Rejection] = []
    slowly: list[Rejection] = []
    rows = list(enumerate(values, 1))
    found = parse_agent_rows(rows, rejected=quickly)
    assert found == parse_each(rows, members=AGENT_MEMBERS, rejected=slowly)
    assert quickly == slowly
    return found
