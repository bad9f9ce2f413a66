"""The quick way to parse agents' rows, of which files hold millions: many at a time, by columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import batched
from operator import itemgetter
from typing import Any

import orjson

from deployment.stats.outcome import Rejection
from deployment.stats.rows import (
    AGENT_MEMBERS,
    MOST_INTEGER,
    MOST_LATENCY_MS,
    REQUIRED,
    Numbered,
    Row,
    latency,
    moment,
    parse_each,
    protocols,
)

# A bad row sends those that it is together with the slow way.
TOGETHER = 500
_NAMES = [member.name for member in AGENT_MEMBERS]
_values_of = itemgetter(*_NAMES)
_FILL = {member.name: member.default for member in AGENT_MEMBERS if member.default is not REQUIRED}
_FILL["connections_by_proto"] = {}
# Where the columns are of which all are counts.
_COUNTS = slice(_NAMES.index("connection_count"), _NAMES.index("session_count_ssh") + 1)
# What a UUID is once each of its digits is a 0, which is checked quicker than by a pattern.
_UUID = "00000000-0000-0000-0000-000000000000"
# What stands between the numbers of a time, and where it ends.
_marks_of, _offset_of = itemgetter(slice(4, 17, 3)), itemgetter(slice(-6, None))
_after_of, _end_of = itemgetter(slice(19, 20)), itemgetter(-1)
_AS_ZERO = bytes.maketrans(b"123456789abcdef", b"0" * 15)


def parse_agent_rows(rows: Iterable[Numbered], *, rejected: list[Rejection]) -> list[Row]:
    """What `parse_each` makes of agents' rows: those that are good, and the others' rejections."""
    found: list[Row] = []
    for together in batched(rows, TOGETHER):
        found += _quickly(together) or parse_each(
            together, members=AGENT_MEMBERS, rejected=rejected
        )
    return found


def _quickly(rows: Sequence[Numbered]) -> list[Row] | None:
    """The rows where all are good, else None: which is wrong is for the slow way to find out."""
    numbers, values = zip(*rows, strict=True)
    try:
        columns = _columns(values)
        first, *others = _uuids([columns[0], *columns[2:6]])
        times = _moments(columns[1])
        protos = _protocols(columns[6])
        latencies = _latencies(columns[16])
        counts = _counts(columns[_COUNTS])
        usage = _truths(columns[17])
        found = (numbers, first, times, *others, protos, *counts, latencies, usage)
        return list(zip(*found, strict=True))
    except (LookupError, TypeError, ValueError):
        return None


def _columns(values: Sequence[Any]) -> list[Sequence[Any]]:
    """The members' values by member. Raises: KeyError, TypeError."""
    try:
        return list(zip(*map(_values_of, values), strict=True))
    except KeyError:
        filled = [_FILL | value for value in values]
        return list(zip(*map(_values_of, filled), strict=True))


def _uuids(columns: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The columns in lower case. Raises: TypeError, ValueError."""
    text = " ".join([" ".join(column) for column in columns]).lower()
    rows = len(columns[0])
    if text.encode().translate(_AS_ZERO).decode() != " ".join(len(columns) * rows * [_UUID]):
        raise ValueError("one is no UUID")
    ids = text.split(" ")
    return (ids[start : start + rows] for start in range(0, len(ids), rows))


def _moments(column: Sequence[str]) -> Iterable[datetime]:
    """The times in UTC. Raises: IndexError, TypeError, ValueError."""
    return map(datetime.fromisoformat if _are_plain(column) else moment, column)


def _are_plain(column: Sequence[str]) -> bool:
    """Whether all times are written alike: as RFC 3339 has them, of which Python knows more."""
    is_utc = set(map(_end_of, column)) == {"Z"} or set(map(_offset_of, column)) == {"+00:00"}
    has_odd_fraction = not set(map(_after_of, column)) <= {"Z", ".", "+"}
    text = "".join(column)
    is_odd = has_odd_fraction or ".Z" in text or ".+" in text
    return is_utc and set(map(_marks_of, column)) == {"--T::"} and not is_odd


def _latencies(column: Sequence[float]) -> Iterable[float]:
    """The latencies as floating point. Raises: TypeError, ValueError."""
    if set(map(type, column)) == {float} and min(column) >= 0 and max(column) <= MOST_LATENCY_MS:
        return column
    return map(latency, column)


def _protocols(column: Iterable[Any]) -> list[str]:
    """The maps as text; each is looked at once, as most are the same. Raises: ValueError."""
    texts = list(map(orjson.dumps, column))
    for text in set(texts):
        protocols(orjson.loads(text))
    return [text.decode() for text in texts]


def _counts(columns: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    """The same columns. Raises: TypeError, ValueError."""
    for column in columns:
        if set(map(type, column)) != {int} or min(column) < 0 or max(column) > MOST_INTEGER:
            raise ValueError("one is no count")
    return columns


def _truths(column: Sequence[bool]) -> Sequence[bool]:
    """The same column. Raises: ValueError."""
    if set(map(type, column)) != {bool}:
        raise ValueError("one is neither true nor false")
    return column
