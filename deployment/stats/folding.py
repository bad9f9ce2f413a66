"""Folding: a row is added once to its minute, its slice and, if it tells of usage, its agent's.

It may become its agent's newest, too. A snapshot then reads a handful of minutes, the slices at the
edges of its window and one row an agent, however many rows there are.
All statements take their locks in key order, so that two that run at once do not deadlock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection

from deployment.stats.percentiles import LOG_RATIO

SESSION_COLUMNS = (
    "session_count_vscode",
    "session_count_jetbrains",
    "session_count_reconnecting_pty",
    "session_count_ssh",
)
_SESSIONS = ", ".join(SESSION_COLUMNS)
# The functions of migration 0010 have BUCKET, UNMEASURED and SLICE as literals.

# The bucket of a latency above 0, as percentiles.bucket_of has it.
BUCKET = f"ceil(ln(connection_median_latency_ms) / {LOG_RATIO!r}::float8)::integer - 1"

# In slices, rows without a measured latency have a bucket, too: their number counts.
UNMEASURED = -(2**31)
SLICE = timedelta(seconds=5)
# Slices are for the edges of windows that end now. Those of the past are read from raw rows.
SLICES_KEPT = timedelta(hours=1)
# Older minutes live on in the ladder's rungs alone, and rows that would change them are refused.
MINUTES_KEPT = timedelta(days=35)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

# Each takes the rows to add from a query that is put in.
ADD_TO_MINUTES = """
INSERT INTO deployment_minutesum AS known (
    minute, row_count, sliced_count, measured_count, rx_bytes, tx_bytes
)
{rows} ORDER BY 1
ON CONFLICT (minute) DO UPDATE SET
    row_count = known.row_count + excluded.row_count,
    sliced_count = known.sliced_count + excluded.sliced_count,
    measured_count = known.measured_count + excluded.measured_count,
    rx_bytes = known.rx_bytes + excluded.rx_bytes,
    tx_bytes = known.tx_bytes + excluded.tx_bytes
"""
ADD_TO_BUCKETS = """
INSERT INTO deployment_latencybucket AS known (minute, bucket, row_count)
{rows} ORDER BY 1, 2
ON CONFLICT (minute, bucket) DO UPDATE SET row_count = known.row_count + excluded.row_count
"""
ADD_TO_SLICES = """
INSERT INTO deployment_slicesum AS known (slice, bucket, row_count, rx_bytes, tx_bytes)
{rows} ORDER BY 1, 2
ON CONFLICT (slice, bucket) DO UPDATE SET
    row_count = known.row_count + excluded.row_count,
    rx_bytes = known.rx_bytes + excluded.rx_bytes,
    tx_bytes = known.tx_bytes + excluded.tx_bytes
"""
ADD_TO_USAGE = f"""
INSERT INTO deployment_usageminute AS known (agent_id, minute, {_SESSIONS})
{{rows}} ORDER BY 1, 2
ON CONFLICT (agent_id, minute) DO UPDATE SET
    {", ".join(f"{name} = known.{name} + excluded.{name}" for name in SESSION_COLUMNS)}
"""
# A mark that is there already is locked: building would take it away without what comes now.
MARK_STALE = """
INSERT INTO deployment_stalespan (start) {rows} ORDER BY 1
ON CONFLICT (start) DO UPDATE SET start = excluded.start
"""
RAISE_NEWEST = f"""
INSERT INTO deployment_newestagentstat AS known (agent_id, created_at, id, {_SESSIONS})
{{rows}}
ON CONFLICT (agent_id) DO UPDATE SET
    (created_at, id, {_SESSIONS}) =
    (excluded.created_at, excluded.id, {", ".join(f"excluded.{c}" for c in SESSION_COLUMNS)})
WHERE (excluded.created_at, excluded.id) > (known.created_at, known.id)
"""
SET_ASIDE = f"""
INSERT INTO deployment_aheadagentstat (agent_id, created_at, id, {_SESSIONS})
{{rows}} ORDER BY id ON CONFLICT DO NOTHING
"""

_MINUTES = """
SELECT date_trunc('minute', created_at, 'UTC'), count(*), count(*) FILTER (WHERE created_at >= %s),
       count(*) FILTER (WHERE measured), coalesce(sum(rx_bytes) FILTER (WHERE measured), 0),
       coalesce(sum(tx_bytes) FILTER (WHERE measured), 0)
FROM (SELECT *, connection_median_latency_ms > 0 AS measured FROM {source}) AS arrived
GROUP BY 1
"""
_BUCKETS = f"""
SELECT date_trunc('minute', created_at, 'UTC'), {BUCKET}, count(*)
FROM {{source}} WHERE connection_median_latency_ms > 0 GROUP BY 1, 2
"""  # noqa: S608 - the names are constants of this package
_SLICES = f"""
SELECT date_bin(INTERVAL '{SLICE.seconds} s', created_at, TIMESTAMPTZ '1970-01-01T00:00:00Z'),
       CASE WHEN measured THEN {BUCKET} ELSE {UNMEASURED} END, count(*),
       coalesce(sum(rx_bytes) FILTER (WHERE measured), 0),
       coalesce(sum(tx_bytes) FILTER (WHERE measured), 0)
FROM (SELECT *, connection_median_latency_ms > 0 AS measured FROM {{source}}) AS arrived
WHERE created_at >= %s GROUP BY 1, 2
"""  # noqa: S608 - the names are constants of this package
_USAGE = f"""
SELECT agent_id, date_trunc('minute', created_at, 'UTC'),
       {", ".join(f"sum({name})" for name in SESSION_COLUMNS)}
FROM {{source}} WHERE usage GROUP BY 1, 2
"""  # noqa: S608 - the names are constants of this package
_SPANS = """
SELECT DISTINCT date_bin('5 minutes', created_at, TIMESTAMPTZ '1970-01-01T00:00:00Z') FROM {source}
"""
_NEWEST = f"""
SELECT DISTINCT ON (agent_id) agent_id, created_at, id, {_SESSIONS}
FROM {{source}} WHERE created_at <= %s ORDER BY agent_id, created_at DESC, id DESC
"""  # noqa: S608 - the names are constants of this package
_AHEAD = f"""
SELECT agent_id, created_at, id, {_SESSIONS} FROM {{source}} WHERE created_at > %s
"""  # noqa: S608 - the names are constants of this package
_PROMOTE = f"""
WITH arrived AS (
    DELETE FROM deployment_aheadagentstat WHERE created_at <= %s RETURNING *
)
{RAISE_NEWEST.format(rows=_NEWEST.format(source="arrived"))}
"""  # noqa: S608 - the names are constants of this package


_OF_ALL_ROWS = (
    (ADD_TO_BUCKETS, _BUCKETS),
    (ADD_TO_USAGE, _USAGE),
    (MARK_STALE, _SPANS),
)


def minutes_from(now: datetime) -> datetime:
    """The first moment whose minutes are still kept apart; rows from before it are refused."""
    raw = settings.STATS_RAW_RETENTION
    return max(now - max(MINUTES_KEPT, raw), BEGINNING) if raw else BEGINNING


def slices_from(now: datetime) -> datetime:
    """The first moment that slices are kept of."""
    return now.replace(second=0, microsecond=0) - SLICES_KEPT


def fold(source: str, *, now: datetime) -> None:
    """Folds every row of the table `source`. None of them may have been folded before."""
    with connection.cursor() as cursor:
        for statement, rows in ((ADD_TO_MINUTES, _MINUTES), (ADD_TO_SLICES, _SLICES)):
            cursor.execute(statement.format(rows=rows.format(source=source)), [slices_from(now)])
        for statement, rows in _OF_ALL_ROWS:
            cursor.execute(statement.format(rows=rows.format(source=source)))
        cursor.execute(RAISE_NEWEST.format(rows=_NEWEST.format(source=source)), [now])
        cursor.execute(SET_ASIDE.format(rows=_AHEAD.format(source=source)), [now])


def newest_of(agents: str, *, now: datetime) -> None:
    """Raises these agents' newest rows to the newest raw ones; `agents` is an array of ids."""
    source = (
        "(SELECT * FROM deployment_agentstat WHERE agent_id = ANY(%s::uuid[])) AS rows_of_these"
    )
    with connection.cursor() as cursor:
        cursor.execute(RAISE_NEWEST.format(rows=_NEWEST.format(source=source)), [agents, now])


def promote(moment: datetime) -> None:
    """Lets rows that came with a time ahead of ours count, up to that moment."""
    with connection.cursor() as cursor:
        cursor.execute(_PROMOTE, [moment, moment])
