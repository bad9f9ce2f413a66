from __future__ import annotations

from django.db import migrations

# The figures of the window (since, until]: sums and the latencies' histogram from whole minutes,
# slices of five seconds at its edges, and raw rows where these are cut; percentiles from the raw
# rows where these are few; sessions from each agent's newest row. As it is STABLE, all is of the
# state that the calling statement sees. The session keeps the plans; what a snapshot seldom needs
# is not planned at all. Compiling would take longer than all else.
FIGURES = """
CREATE FUNCTION deployment_agent_figures(
    since timestamptz, until timestamptz, most_exact bigint,
    OUT row_count numeric, OUT rx_bytes numeric, OUT tx_bytes numeric,
    OUT histogram bigint[], OUT percentiles double precision[], OUT sessions numeric[]
) LANGUAGE plpgsql STABLE
SET jit = off SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    first timestamptz := date_trunc('minute', since, 'UTC') + INTERVAL '1 minute';
    last timestamptz := date_trunc('minute', until, 'UTC');
    epoch timestamptz := '1970-01-01T00:00:00Z';
    start_slice timestamptz := first;
    end_slice timestamptz := last;
    overtaken uuid[];
BEGIN
    -- A minute whose slices are not all there has none but raw rows.
    IF deployment_is_sliced(first - INTERVAL '1 minute') THEN
        start_slice := date_bin(INTERVAL '5 s', since, epoch) + INTERVAL '5 s';
    END IF;
    IF deployment_is_sliced(last) THEN
        end_slice := date_bin(INTERVAL '5 s', until, epoch);
    END IF;

    WITH edges AS MATERIALIZED (
        SELECT bucket, row_count, rx_bytes, tx_bytes FROM deployment_slicesum
        WHERE slice >= start_slice AND slice < first OR slice >= last AND slice < end_slice
        UNION ALL
        SELECT CASE WHEN connection_median_latency_ms > 0
               THEN ceil(ln(connection_median_latency_ms) / 0.019000571614286515::float8)::integer - 1
               ELSE -2147483648 END,
               count(*), sum(rx_bytes), sum(tx_bytes)
        FROM (
            SELECT rx_bytes, tx_bytes, connection_median_latency_ms FROM deployment_agentstat
            WHERE created_at > since AND created_at < start_slice
            UNION ALL
            SELECT rx_bytes, tx_bytes, connection_median_latency_ms FROM deployment_agentstat
            WHERE created_at >= end_slice AND created_at <= until
        ) AS arrived GROUP BY 1
    ), totals AS (
        SELECT coalesce(sum(row_count), 0) AS row_count,
               coalesce(sum(rx_bytes), 0) AS rx_bytes, coalesce(sum(tx_bytes), 0) AS tx_bytes
        FROM (
            SELECT row_count, rx_bytes, tx_bytes FROM deployment_minutesum
            WHERE minute >= first AND minute < last
            UNION ALL
            SELECT sum(row_count), sum(rx_bytes) FILTER (WHERE bucket <> -2147483648),
                   sum(tx_bytes) FILTER (WHERE bucket <> -2147483648)
            FROM edges
        ) AS parts
    ), buckets AS (
        SELECT bucket, sum(row_count)::bigint AS row_count
        FROM (
            SELECT bucket, row_count FROM deployment_latencybucket
            WHERE minute >= first AND minute < last
            UNION ALL
            SELECT bucket, row_count FROM edges WHERE bucket <> -2147483648
        ) AS counted GROUP BY bucket
    )
    SELECT totals.*, (
        SELECT coalesce(array_agg(ARRAY[bucket, row_count] ORDER BY bucket), '{}') FROM buckets
    ) INTO row_count, rx_bytes, tx_bytes, histogram FROM totals;

    IF row_count <= most_exact THEN
        SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY connection_median_latency_ms)
        INTO percentiles FROM deployment_agentstat
        WHERE created_at > since AND created_at <= until AND connection_median_latency_ms > 0;
    END IF;

    SELECT array_agg(agent_id) FILTER (WHERE created_at > until), ARRAY[
        coalesce(sum(session_count_vscode), 0), coalesce(sum(session_count_jetbrains), 0),
        coalesce(sum(session_count_reconnecting_pty), 0), coalesce(sum(session_count_ssh), 0)
    ] INTO overtaken, sessions FROM deployment_newestagentstat WHERE created_at > since;

    -- Of an agent that has reported since, what was its newest row until then counts instead.
    IF overtaken IS NOT NULL THEN
        SELECT ARRAY[
            sessions[1] + coalesce(sum(before.vscode), 0) - sum(session_count_vscode),
            sessions[2] + coalesce(sum(before.jetbrains), 0) - sum(session_count_jetbrains),
            sessions[3] + coalesce(sum(before.pty), 0) - sum(session_count_reconnecting_pty),
            sessions[4] + coalesce(sum(before.ssh), 0) - sum(session_count_ssh)
        ] INTO sessions FROM deployment_newestagentstat AS known LEFT JOIN LATERAL (
            SELECT session_count_vscode, session_count_jetbrains, session_count_reconnecting_pty,
                   session_count_ssh
            FROM deployment_agentstat
            WHERE agent_id = known.agent_id AND created_at > since AND created_at <= until
            ORDER BY created_at DESC, id DESC LIMIT 1
        ) AS before (vscode, jetbrains, pty, ssh) ON true
        WHERE known.agent_id = ANY (overtaken);
    END IF;
END
$$
"""

IS_SLICED = """
CREATE FUNCTION deployment_is_sliced(of_minute timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM deployment_minutesum WHERE minute = of_minute AND row_count = sliced_count
    ) AND EXISTS (
        SELECT FROM deployment_slicesum
        WHERE slice >= of_minute AND slice < of_minute + INTERVAL '1 minute'
    );
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("deployment", "0009_leave_room_for_newest_rows")]

    operations = [
        migrations.RunSQL(IS_SLICED, "DROP FUNCTION deployment_is_sliced"),
        migrations.RunSQL(FIGURES, "DROP FUNCTION deployment_agent_figures"),
    ]
