from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stats.ingest.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    RowError,
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
