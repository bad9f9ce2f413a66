from __future__ import annotations

from django.db import migrations, models

# What the noise rules are known by: another text, other rules. By what they say and not by when
# they were changed, since the clocks of those who change them may differ.
RULES_VERSION = """
CREATE FUNCTION csp_rules_version() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT md5(coalesce(
        string_agg(concat_ws(E'\\t', id, name, target, pattern), E'\\n' ORDER BY id), ''
    ))
    FROM csp_noiserule WHERE enabled
$$
"""

# How many reports a row stands for that is an hour's number `place` (from 1) of its group: of the
# first thousand each is kept, of the others a hundred each time that the count doubles.
WEIGHT = """
CREATE FUNCTION csp_weight(place bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN place <= 1000 THEN 1 ELSE
        10::bigint << (length(ltrim(((place - 1) / 1000)::bit(64)::text, '0')) - 1)
    END
$$
"""

# A whole batch in one call, which is one transaction of its own. Each statement in it sees what was
# committed before it began, so the rules are compared only once their lock is held. Everything
# comes in the order of its key: two batches that meet wait for each other and never in a circle.
WRITE_BATCH = """
CREATE FUNCTION csp_write_batch(
    batch_id uuid, is_imported boolean, rules_lock bigint, rules text,
    new_groups json, new_hours json, new_hits json, new_members json, new_reports json,
    OUT verdict text, OUT outgrown json
) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
#variable_conflict use_column
DECLARE
    crowded boolean;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(rules_lock);
    IF csp_rules_version() IS DISTINCT FROM rules THEN
        verdict := 'other rules';
        RETURN;
    END IF;

    INSERT INTO csp_batch (id, imported) VALUES (batch_id, is_imported) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        verdict := 'repeated';
        RETURN;
    END IF;

    INSERT INTO csp_group AS held (
        id, directive, blocked, document, disposition, first_seen, last_seen, count, noise_count,
        first_version, last_version, pages, browsers, days, client_days)
    SELECT arrived.*, 0, 0, 0, 0 FROM json_to_recordset(new_groups) AS arrived (
        id uuid, directive text, blocked text, document text, disposition text,
        first_seen timestamptz, last_seen timestamptz, count bigint, noise_count bigint,
        first_version text, last_version text)
    ON CONFLICT (id) DO UPDATE SET
        count = held.count + excluded.count,
        noise_count = held.noise_count + excluded.noise_count,
        first_seen = least(held.first_seen, excluded.first_seen),
        last_seen = greatest(held.last_seen, excluded.last_seen),
        -- Of an imported report it is mostly unknown what version it came under: that is no news.
        first_version = CASE WHEN excluded.first_version <> ''
                AND (held.first_version = '' OR excluded.first_seen < held.first_seen)
            THEN excluded.first_version ELSE held.first_version END,
        last_version = CASE WHEN excluded.last_version <> ''
                AND (held.last_version = '' OR excluded.last_seen >= held.last_seen)
            THEN excluded.last_version ELSE held.last_version END;

    WITH counted AS (
        INSERT INTO csp_hourcount AS held (group_id, hour, rule_id, count)
        SELECT * FROM json_to_recordset(new_hours) AS arrived (
            group_id uuid, hour timestamptz, rule_id bigint, count bigint)
        ON CONFLICT (group_id, hour, rule_id) DO UPDATE SET count = held.count + excluded.count
        RETURNING count
    )
    SELECT bool_or(count > 1000) INTO crowded FROM counted;

    -- A rule may have been deleted since it was read; its hits then count for nothing.
    IF new_hits IS NOT NULL THEN
        INSERT INTO csp_noisehit AS held (rule_id, day, count)
        SELECT arrived.* FROM json_to_recordset(new_hits) AS arrived (
            rule_id bigint, day date, count bigint)
        WHERE EXISTS (SELECT FROM csp_noiserule WHERE id = arrived.rule_id FOR KEY SHARE)
        ON CONFLICT (rule_id, day) DO UPDATE SET count = held.count + excluded.count;
    END IF;

    -- Up to 1,024 members are counted; of more, the caller keeps a sketch and an estimate.
    IF new_members IS NOT NULL THEN
        WITH added AS (
            INSERT INTO csp_reachmember (group_id, kind, member)
            SELECT * FROM json_to_recordset(new_members) AS arrived (
                group_id uuid, kind smallint, member bigint)
            ON CONFLICT DO NOTHING
            RETURNING group_id, kind
        ), reached AS (
            UPDATE csp_group AS held SET
                pages = CASE WHEN pages > 1024 THEN pages ELSE pages + p END,
                browsers = CASE WHEN browsers > 1024 THEN browsers ELSE browsers + b END,
                days = CASE WHEN days > 1024 THEN days ELSE days + d END,
                client_days = CASE WHEN client_days > 1024 THEN client_days ELSE client_days + c END
            FROM (
                SELECT group_id, count(*) FILTER (WHERE kind = 1) AS p,
                    count(*) FILTER (WHERE kind = 2) AS b, count(*) FILTER (WHERE kind = 3) AS d,
                    count(*) FILTER (WHERE kind = 4) AS c
                FROM added GROUP BY 1
            ) AS more
            WHERE held.id = more.group_id
            RETURNING held.id, p, b, d, c, pages, browsers, days, client_days
        )
        SELECT json_agg(json_build_array(id, kind)) INTO outgrown FROM reached, LATERAL (
            VALUES (1, p, pages), (2, b, browsers), (3, d, days), (4, c, client_days)
        ) AS each (kind, added, total)
        WHERE added > 0 AND total > 1024;
    END IF;

    -- `after` says how many of the batch come after the report in its group's hour.
    INSERT INTO csp_report (
        received_at, occurred_at, group_id, rule_id, shape, document_uri, referrer, blocked_uri,
        effective_directive, violated_directive, original_policy, disposition, status_code, sample,
        source_file, line_number, column_number, browser, user_agent, client, coder_version, extra,
        weight)
    SELECT received_at, occurred_at, group_id, nullif(rule_id, 0), shape, document_uri, referrer,
        blocked_uri, effective_directive, violated_directive, original_policy, disposition,
        status_code, sample, source_file, line_number, column_number, browser, user_agent,
        decode(client, 'hex'), coder_version, extra, csp_weight(place)
    FROM json_to_recordset(new_reports) AS arrived (
        received_at timestamptz, occurred_at timestamptz, group_id uuid, hour timestamptz,
        rule_id bigint, after bigint, shape text, document_uri text, referrer text,
        blocked_uri text, effective_directive text, violated_directive text, original_policy text,
        disposition text, status_code integer, sample text, source_file text, line_number integer,
        column_number integer, browser text, user_agent text, client text, coder_version text,
        extra jsonb),
    LATERAL (
        SELECT CASE WHEN crowded THEN (
            SELECT held.count FROM csp_hourcount AS held
            WHERE held.group_id = arrived.group_id AND held.hour = arrived.hour
                AND held.rule_id = arrived.rule_id
        ) - after ELSE 1 END
    ) AS counted (place)
    WHERE place % csp_weight(place) = 0;
    verdict := 'written';
END
$$
"""


class Migration(migrations.Migration):

    dependencies = [("csp", "0004_announce_ingest_keys")]

    operations = [
        migrations.AddField(
            "report", "weight", models.BigIntegerField(db_default=1, editable=False)
        ),
        migrations.RunSQL(RULES_VERSION, "DROP FUNCTION csp_rules_version"),
        migrations.RunSQL(WEIGHT, "DROP FUNCTION csp_weight"),
        migrations.RunSQL(WRITE_BATCH, "DROP FUNCTION csp_write_batch"),
    ]
