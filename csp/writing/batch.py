"""The statement that writes a batch of reports.

One statement writes the whole batch, so a batch is one round trip and one transaction. The writer
shares its Python interpreter with many threads. With separate statements, it would wait for the
interpreter after each of them. For the same reason, PostgreSQL computes the sums, and not Python.

A part that reads another one is executed after it. So the order is: batch, hashes, groups,
versions, hours, reports. Each part writes its rows in the order of their keys. So two batches lock
rows in the same order, and cannot deadlock.
"""

from __future__ import annotations

from django.db import connection

from csp.models import Report
from csp.writing.distinct import CLIENT_DAY, EXACT, IS_LARGE, PAGE

# A row is one JSON object. Its members are the columns of csp_report that PostgreSQL does not
# generate, the group, and the hashes of the page and the client.
_REPORT = {
    field.attname: field.db_type(connection)
    for field in Report._meta.concrete_fields
    if field.attname not in {"id", "noise_rule_id", "represented_reports"}
}
_OTHERS = {
    "group_site": "text",
    "group_directive": "text",
    "group_blocked_source": "text",
    "noise_rule": "bigint",
    "page": "bigint",
    "client_day": "bigint",
}
_ROW = ", ".join(f"{name} {type}" for name, type in (_REPORT | _OTHERS).items())
_COLUMNS = ", ".join(_REPORT)

# The number of reports that a stored row represents. `place` numbers the reports with the same
# group, hour and noise rule from 1. The first 1,000 reports are all stored. After that, only 100
# reports are stored each time that the number of reports doubles.
WEIGHT = """CASE WHEN place <= 1000 THEN 1 ELSE
    10::bigint << (length(ltrim(((place - 1) / 1000)::bit(64)::text, '0')) - 1)
END"""

_COUNTS = "WHERE noise_rule_id = 0"
# `_IS_FIRST`: the batch has the first report of a hidden group that is not noise. `_IS_SEEN`: the
# times of the batch change those of the group. Noise does not change those of a visible group.
_IS_FIRST = """
    stored.noise_rule_id IS NOT NULL AND stored.reports = 0 AND excluded.noise_rule_id IS NULL"""
_IS_SEEN = "excluded.noise_rule_id IS NULL OR stored.noise_rule_id IS NOT NULL"

# Writes the rows of a JSON array, unless a batch with the same id was written earlier. Returns
# whether it has written them. The parameters are the id, whether the batch is imported, the array,
# whether there is disk space for reports, the start of the window, and whether there is disk space
# for hashes. Without disk space, the statement counts the reports but stores none, and counts no
# further pages, and clients without their version. Reports before the window do not change the
# numbers of their groups.
#
# The parameters have the form of PostgreSQL, for `psycopg.RawCursor`. If they had names, psycopg
# would parse the statement for each batch, because it is longer than 4,096 characters.
WRITE = f"""
WITH batch AS (
    INSERT INTO csp_committedbatch (id, is_imported) VALUES ($1, $2)
    ON CONFLICT DO NOTHING RETURNING id
), arrived AS MATERIALIZED (
    -- The writer may not know yet that a noise rule was disabled or deleted.
    SELECT sent.*, coalesce(rule.id, 0) AS noise_rule_id, known.id AS version_id, known.rank,
        date_trunc('hour', received_at, 'UTC') AS hour,
        (received_at AT TIME ZONE 'UTC')::date AS day
    FROM batch, json_to_recordset($3::json) AS sent ({_ROW})
    LEFT JOIN csp_noiserule AS rule ON rule.id = noise_rule AND rule.is_enabled
    LEFT JOIN csp_version AS known ON known.site = group_site AND known.name = version_name
), hashes AS (
    INSERT INTO csp_distincthash AS stored (group_id, kind, hash, version_id, day)
    SELECT group_id, kind, hash, each.version_id, max(day)
    FROM arrived LEFT JOIN csp_group AS known ON known.id = group_id, LATERAL (VALUES
        ({PAGE}, page, 0, known.pages),
        ({CLIENT_DAY}, client_day, CASE WHEN $6 THEN coalesce(arrived.version_id, 0) ELSE 0 END,
            known.client_days)
    ) AS each (kind, hash, version_id, number)
    WHERE arrived.noise_rule_id = 0 AND ($6 OR kind = {CLIENT_DAY})
        AND (number IS NULL OR number <= {EXACT} OR NOT {IS_LARGE})
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (group_id, kind, hash, version_id) DO UPDATE SET day = excluded.day
    WHERE stored.day < excluded.day RETURNING group_id, kind, hash, version_id, day
), added AS MATERIALIZED (
    -- A client counts once, also with several versions. The statement does not see its own inserts.
    -- A hash of a day before the window does not count in it yet.
    -- A random number, and not 0.5, decides about rounding up. So the error does not add up.
    SELECT group_id, day,
        floor(count(*) FILTER (WHERE kind = {PAGE})
            * greatest(1, known.pages::float / {EXACT}) + random()) AS pages,
        floor(count(DISTINCT hash) FILTER (WHERE kind = {CLIENT_DAY})
            * greatest(1, known.client_days::float / {EXACT}) + random()) AS client_days
    FROM hashes LEFT JOIN csp_group AS known ON known.id = group_id
    WHERE NOT EXISTS (
        SELECT FROM csp_distincthash AS earlier
        WHERE (earlier.group_id, earlier.kind, earlier.hash)
            = (hashes.group_id, hashes.kind, hashes.hash) AND earlier.day >= $5
    )
    GROUP BY group_id, day, known.pages, known.client_days
), of_window AS (
    SELECT group_id, sum(pages) AS pages, sum(client_days) AS client_days
    FROM added WHERE day >= $5 GROUP BY group_id
), groups AS (
    -- The row of a batch has the times of its noise only if all of its reports are noise.
    INSERT INTO csp_group AS stored (
        id, site, directive, blocked_source, noise_rule_id, first_seen, last_seen, reports,
        noise_reports, pages, client_days, window_start, oldest_version_rank)
    SELECT group_id, group_site, group_directive, group_blocked_source,
        CASE WHEN bool_and(noise_rule_id > 0) THEN max(noise_rule_id) END,
        coalesce(min(received_at) FILTER ({_COUNTS}), min(received_at)),
        coalesce(max(received_at) FILTER ({_COUNTS}), max(received_at)),
        count(*) FILTER ({_COUNTS} AND day >= $5),
        count(*) FILTER (WHERE noise_rule_id > 0 AND day >= $5),
        coalesce(min(pages), 0), coalesce(min(client_days), 0), $5,
        min(rank) FILTER ({_COUNTS})
    FROM arrived LEFT JOIN of_window USING (group_id) GROUP BY 1, 2, 3, 4 ORDER BY 1
    ON CONFLICT (id) DO UPDATE SET
        noise_rule_id = CASE
            WHEN stored.noise_rule_id IS NOT NULL THEN excluded.noise_rule_id END,
        reports = stored.reports + excluded.reports,
        noise_reports = stored.noise_reports + excluded.noise_reports,
        first_seen = CASE WHEN {_IS_FIRST} THEN excluded.first_seen WHEN {_IS_SEEN}
            THEN least(stored.first_seen, excluded.first_seen) ELSE stored.first_seen END,
        last_seen = CASE WHEN {_IS_SEEN}
            THEN greatest(stored.last_seen, excluded.last_seen) ELSE stored.last_seen END,
        pages = stored.pages + excluded.pages,
        client_days = stored.client_days + excluded.client_days,
        client_days_since_state_set = stored.client_days_since_state_set + excluded.client_days,
        oldest_version_rank = least(stored.oldest_version_rank, excluded.oldest_version_rank)
), versions AS (
    -- Only new clients change these rows.
    INSERT INTO csp_groupversion AS stored (group_id, version_id, client_days)
    SELECT group_id, version_id,
        floor(count(*) * greatest(1, known.client_days::float / {EXACT}) + random())
    FROM hashes LEFT JOIN csp_group AS known ON known.id = group_id
    WHERE version_id > 0 GROUP BY group_id, version_id, known.client_days ORDER BY 1, 2
    ON CONFLICT (group_id, version_id) DO UPDATE SET
        client_days = stored.client_days + excluded.client_days
), hours AS (
    -- If a batch has several hours of a day, its new clients of the day count in the first one.
    INSERT INTO csp_grouphour AS stored (group_id, hour, noise_rule_id, reports, client_days)
    SELECT group_id, hour, noise_rule_id, count(*), CASE
        WHEN noise_rule_id = 0 AND hour = min(hour) OVER (PARTITION BY group_id, day, noise_rule_id)
        THEN coalesce(client_days, 0) ELSE 0 END
    FROM arrived LEFT JOIN added USING (group_id, day)
    GROUP BY group_id, day, hour, noise_rule_id, client_days ORDER BY 1, 2, 3
    ON CONFLICT (group_id, hour, noise_rule_id) DO UPDATE SET
        reports = stored.reports + excluded.reports,
        client_days = stored.client_days + excluded.client_days
    RETURNING group_id, hour, noise_rule_id, reports
), reports AS (
    INSERT INTO csp_report ({_COLUMNS}, noise_rule_id, represented_reports)
    SELECT {_COLUMNS}, noise_rule_id, weight
    FROM (
        SELECT arrived.*,
            reports + 1 - row_number() OVER (PARTITION BY group_id, hour, noise_rule_id) AS place
        FROM arrived JOIN hours USING (group_id, hour, noise_rule_id)
    ) AS placed, LATERAL (SELECT {WEIGHT} AS weight) AS weighed
    WHERE $4 AND place % weight = 0
    ORDER BY received_at
)
SELECT EXISTS (SELECT FROM batch)
"""  # noqa: S608 - only constants
