"""The SQL of a batch, and the columns that it takes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

import orjson

from coderapi.database import lock_number
from csp.batches import GroupSum, HourKey, Judged

# Batches share this lock, a change of rules has it alone: so a group's noise is always that of the
# rules that are enabled.
RULES_LOCK = lock_number("csp noise rules")

HOLD_RULES = f"SELECT pg_advisory_xact_lock_shared({RULES_LOCK})".encode()

RULES_VERSION = "SELECT count(*), sum(id), max(updated_at) FROM csp_noiserule"

BATCH = "INSERT INTO csp_batch (id, imported) VALUES (%s, %s) ON CONFLICT DO NOTHING"

ENABLED_RULES = "SELECT id, name, target, pattern FROM csp_noiserule WHERE enabled ORDER BY id"

GROUPS = """
INSERT INTO csp_group AS held (
    id, directive, blocked, document, disposition, first_seen, last_seen, count, noise_count,
    first_version, last_version, pages, browsers, days, client_days)
SELECT *, 0, 0, 0, 0 FROM unnest(
    %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
    %s::timestamptz[], %s::bigint[], %s::bigint[], %s::text[], %s::text[])
ON CONFLICT (id) DO UPDATE SET
    count = held.count + excluded.count,
    noise_count = held.noise_count + excluded.noise_count,
    first_seen = least(held.first_seen, excluded.first_seen),
    last_seen = greatest(held.last_seen, excluded.last_seen),
    first_version = CASE WHEN excluded.first_seen < held.first_seen
        THEN excluded.first_version ELSE held.first_version END,
    last_version = CASE WHEN excluded.last_seen >= held.last_seen
        THEN excluded.last_version ELSE held.last_version END
RETURNING id, pages, browsers, days, client_days
"""

HOURS = """
INSERT INTO csp_hourcount AS held (group_id, hour, rule_id, count)
SELECT * FROM unnest(%s::uuid[], %s::timestamptz[], %s::bigint[], %s::bigint[])
ON CONFLICT (group_id, hour, rule_id) DO UPDATE SET count = held.count + excluded.count
RETURNING group_id, hour, rule_id, count
"""

# A rule may have been deleted since it was read; its hits then count for nothing.
HITS = """
INSERT INTO csp_noisehit AS held (rule_id, day, count)
SELECT hit.* FROM unnest(%s::bigint[], %s::date[], %s::bigint[]) AS hit (rule_id, day, count)
WHERE EXISTS (SELECT FROM csp_noiserule WHERE id = hit.rule_id FOR KEY SHARE)
ON CONFLICT (rule_id, day) DO UPDATE SET count = held.count + excluded.count
"""

COPY_REPORTS = """
COPY csp_report (
    received_at, occurred_at, group_id, rule_id, shape, document_uri, referrer, blocked_uri,
    effective_directive, violated_directive, original_policy, disposition, status_code, sample,
    source_file, line_number, column_number, browser, user_agent, client, coder_version, extra)
FROM STDIN
"""


def group_columns(sums: Sequence[tuple[uuid.UUID, GroupSum]]) -> list[list[Any]]:
    rows = [
        (
            group_id,
            of.key.directive,
            of.key.blocked,
            of.key.document,
            of.key.disposition,
            of.first.received_at,
            of.last.received_at,
            of.count,
            of.noise,
            of.first.coder_version,
            of.last.coder_version,
        )
        for group_id, of in sums
    ]
    return columns(rows)


def hour_columns(sums: Sequence[tuple[HourKey, int]]) -> list[list[Any]]:
    return columns([(*key, count) for key, count in sums])


def hit_columns(sums: Sequence[tuple[tuple[int, date], int]]) -> list[list[Any]]:
    return columns([(*key, count) for key, count in sums])


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


def report_row(judged: Judged) -> tuple[Any, ...]:
    """The columns of COPY_REPORTS, in its order."""
    entry, violation = judged.entry, judged.entry.violation
    return (
        entry.received_at,
        entry.occurred_at,
        entry.group_id,
        judged.rule.id if judged.rule else None,
        violation.shape.value,
        violation.document_uri,
        violation.referrer,
        violation.blocked_uri,
        violation.effective_directive,
        violation.violated_directive,
        violation.original_policy,
        violation.disposition,
        violation.status_code,
        violation.sample,
        violation.source_file,
        violation.line_number,
        violation.column_number,
        entry.browser,
        entry.user_agent,
        entry.client,
        entry.coder_version,
        orjson.dumps(violation.extra).decode(),
    )
