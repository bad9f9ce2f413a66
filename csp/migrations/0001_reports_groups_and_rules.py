"""Creates the tables of report collection, and the functions that write a batch."""

from __future__ import annotations

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.db import migrations, models

from csp.noise.built_in import add_built_in

# Django cannot create partitioned tables, so a partitioned table replaces the table that Django has
# created. A primary key must include the column by which the table is partitioned, so it is (id,
# received_at) in PostgreSQL, and `id` only in Django's model. Django creates the indexes at the end
# of the migration, on the new table.
PARTITION_REPORTS = """
ALTER TABLE csp_report RENAME TO csp_report_plain;
CREATE TABLE csp_report (
    LIKE csp_report_plain INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
DROP TABLE csp_report_plain;
"""

# Leaves free space in each page for new versions of its rows, so that updates change no index
# (heap-only updates).
LEAVE_ROOM = """
ALTER TABLE csp_group SET (fillfactor = 60);
ALTER TABLE csp_hourcount SET (fillfactor = 60);
"""

# Sends a notification when an ingest key changes. Every process that receives it evicts its cached
# ingest keys.
ANNOUNCE = """
CREATE FUNCTION csp_announce_ingest_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('coderapi', 'ingest_key:');
    RETURN NULL;
END $$;
CREATE TRIGGER csp_ingestkey_changed AFTER INSERT OR UPDATE OR DELETE ON csp_ingestkey
    FOR EACH STATEMENT EXECUTE FUNCTION csp_announce_ingest_key();
"""

# Returns a hash of the enabled rules. The hash depends on the contents of the rules and not on the
# times of their last change, because the clocks of hosts may differ.
RULES_VERSION = """
CREATE FUNCTION csp_rules_version() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT md5(coalesce(
        string_agg(concat_ws(E'\\t', id, name, target, pattern), E'\\n' ORDER BY id), ''
    ))
    FROM csp_noiserule WHERE enabled
$$
"""

# Returns the number of reports that a stored row represents. `place` numbers the reports with the
# same group, hour and rule from 1. The first 1,000 reports are all stored. After that, only 100 reports
# are stored each time that the number of reports doubles.
WEIGHT = """
CREATE FUNCTION csp_weight(place bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN place <= 1000 THEN 1 ELSE
        10::bigint << (length(ltrim(((place - 1) / 1000)::bit(64)::text, '0')) - 1)
    END
$$
"""

# Writes a batch in one call, which is one transaction.
#
# It is a function because the writer shares its Python interpreter with 64 threads. Five separate
# statements would need five round trips, and after each round trip the writer would wait for the
# interpreter. Also, a connection pooler would not keep the plans of the statements. For the
# same reason, PostgreSQL computes the sums, and not Python.
#
# A statement sees only what was committed before it started. So the rules are compared after the lock
# is acquired. Two batches cannot deadlock, because every batch writes the tables in the same order, and
# the rows of each table in the order of their keys.
WRITE_BATCH = """
CREATE FUNCTION csp_write_batch(
    batch_id uuid, is_imported boolean, rules_lock bigint, rules text,
    new_reports json, new_members json, OUT verdict text, OUT outgrown json
) LANGUAGE plpgsql SET lock_timeout = '5s' AS $$
#variable_conflict use_column
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

    WITH arrived AS MATERIALIZED (
        SELECT *, date_trunc('hour', received_at, 'UTC') AS hour
        FROM ROWS FROM (json_to_recordset(new_reports) AS (
            received_at timestamptz, occurred_at timestamptz, group_id uuid, rule_id bigint,
            format text, document_uri text, referrer text, blocked_uri text,
            effective_directive text, violated_directive text, original_policy text,
            disposition text, status_code integer, sample text, source_file text,
            line_number integer, column_number integer, browser text, user_agent text, client text,
            coder_version text, extra jsonb,
            group_directive text, group_blocked text, group_document text, group_disposition text
        )) WITH ORDINALITY
    ), hours AS (
        INSERT INTO csp_hourcount AS stored (group_id, hour, rule_id, count)
        SELECT group_id, hour, rule_id, count(*) FROM arrived GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        ON CONFLICT (group_id, hour, rule_id) DO UPDATE SET count = stored.count + excluded.count
        RETURNING group_id, hour, rule_id, count
    ), groups AS (
        INSERT INTO csp_group AS stored (
            id, directive, blocked, document, disposition, first_seen, last_seen, count,
            noise_count, first_version, last_version, pages, browsers, days, client_days)
        SELECT group_id, group_directive, group_blocked, group_document, group_disposition,
            min(received_at), max(received_at), count(*), count(*) FILTER (WHERE rule_id <> 0),
            -- Most imported reports have no version. They do not change the group's versions.
            coalesce((array_agg(coder_version ORDER BY received_at)
                FILTER (WHERE coder_version <> ''))[1], ''),
            coalesce((array_agg(coder_version ORDER BY received_at DESC)
                FILTER (WHERE coder_version <> ''))[1], ''),
            0, 0, 0, 0
        FROM arrived GROUP BY 1, 2, 3, 4, 5 ORDER BY 1
        ON CONFLICT (id) DO UPDATE SET
            count = stored.count + excluded.count,
            noise_count = stored.noise_count + excluded.noise_count,
            first_seen = least(stored.first_seen, excluded.first_seen),
            last_seen = greatest(stored.last_seen, excluded.last_seen),
            first_version = CASE WHEN excluded.first_version <> ''
                    AND (stored.first_version = '' OR excluded.first_seen < stored.first_seen)
                THEN excluded.first_version ELSE stored.first_version END,
            last_version = CASE WHEN excluded.last_version <> ''
                    AND (stored.last_version = '' OR excluded.last_seen >= stored.last_seen)
                THEN excluded.last_version ELSE stored.last_version END
    )
    INSERT INTO csp_report (
        received_at, occurred_at, group_id, rule_id, format, document_uri, referrer, blocked_uri,
        effective_directive, violated_directive, original_policy, disposition, status_code, sample,
        source_file, line_number, column_number, browser, user_agent, client, coder_version, extra,
        weight)
    SELECT received_at, occurred_at, group_id, nullif(rule_id, 0), format, document_uri, referrer,
        blocked_uri, effective_directive, violated_directive, original_policy, disposition,
        status_code, sample, source_file, line_number, column_number, browser, user_agent,
        decode(client, 'hex'), coder_version, extra, csp_weight(place)
    FROM (
        SELECT arrived.*,
            count + 1 - row_number() OVER (PARTITION BY group_id, hour, rule_id) AS place
        FROM arrived JOIN hours USING (group_id, hour, rule_id)
    ) AS placed
    WHERE place % csp_weight(place) = 0
    ORDER BY ordinality;

    -- Up to 1,024 members are counted exactly. Above that, the caller estimates the number.
    IF new_members IS NOT NULL THEN
        WITH added AS (
            INSERT INTO csp_reachmember (group_id, kind, member)
            SELECT group_id, kind, member
            FROM json_populate_recordset(NULL::csp_reachmember, new_members)
            ON CONFLICT DO NOTHING
            RETURNING group_id, kind
        ), reached AS (
            UPDATE csp_group AS stored SET
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
            WHERE stored.id = more.group_id
            RETURNING stored.id, p, b, d, c, pages, browsers, days, client_days
        )
        SELECT json_agg(json_build_array(id, kind)) INTO outgrown FROM reached, LATERAL (
            VALUES (1, p, pages), (2, b, browsers), (3, d, days), (4, c, client_days)
        ) AS each (kind, added, total)
        WHERE added > 0 AND total > 1024;
    END IF;
    verdict := 'written';
END
$$
"""


def add_rules(apps, schema_editor):
    add_built_in(apps.get_model("csp", "NoiseRule"))


class Migration(migrations.Migration):

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name='Batch',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ('imported', models.BooleanField(db_default=False)),
                ('committed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='ClientKey',
            fields=[
                ('day', models.DateField(primary_key=True, serialize=False)),
                ('key', models.BinaryField(max_length=32)),
            ],
        ),
        migrations.CreateModel(
            name='IngestKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=64, unique=True)),
                ('key', models.CharField(editable=False, max_length=64, unique=True)),
                ('origins', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=255), help_text='The origins of the pages that may use this key, separated by commas, such as https://coder.example.com.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('retired_at', models.DateTimeField(blank=True, help_text='From this time on, reports with this key get a 410 response, and browsers stop sending reports.', null=True)),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='Group',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('directive', models.CharField(blank=True, max_length=64)),
                ('blocked', models.CharField(blank=True, max_length=255, verbose_name='blocked source')),
                ('document', models.CharField(blank=True, max_length=1024, verbose_name='page')),
                ('disposition', models.CharField(blank=True, max_length=16)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
                ('count', models.BigIntegerField(default=0, verbose_name='reports')),
                ('noise_count', models.BigIntegerField(default=0, verbose_name='reports marked as noise')),
                ('pages', models.BigIntegerField(default=0)),
                ('browsers', models.BigIntegerField(default=0)),
                ('days', models.BigIntegerField(default=0)),
                ('client_days', models.BigIntegerField(default=0, verbose_name='clients per day')),
                ('first_version', models.CharField(blank=True, max_length=64, verbose_name='first Coder version')),
                ('last_version', models.CharField(blank=True, max_length=64, verbose_name='last Coder version')),
            ],
            options={
                'verbose_name': 'violation group',
                'ordering': ['-client_days', '-pages', '-count', 'id'],
                'indexes': [models.Index(fields=['-client_days', '-pages'], name='csp_group_far'), models.Index(fields=['first_seen'], name='csp_group_first_seen')],
                'constraints': [models.CheckConstraint(condition=models.Q(('noise_count__gte', 0), ('noise_count__lte', models.F('count'))), name='csp_group_noise_within_count')],
            },
        ),
        migrations.CreateModel(
            name='HourCount',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'hour', 'rule_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('hour', models.DateTimeField()),
                ('rule_id', models.BigIntegerField(default=0)),
                ('count', models.BigIntegerField()),
                ('group', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('rule_id__gt', 0)), fields=['rule_id', 'hour'], name='csp_hourcount_rule')],
            },
        ),
        migrations.CreateModel(
            name='NewGroups',
            fields=[
                ('pk', models.CompositePrimaryKey('caller', 'hour', blank=True, editable=False, primary_key=True, serialize=False)),
                ('caller', models.BinaryField(max_length=16)),
                ('hour', models.DateTimeField()),
                ('count', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='NoiseRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.SlugField(max_length=64, unique=True)),
                ('category', models.CharField(max_length=64)),
                ('target', models.CharField(choices=[('scheme', 'scheme'), ('host', 'host'), ('path', 'path'), ('document-scheme', "document's scheme"), ('user-agent', 'user agent')], help_text='The part of a report that is compared with the pattern. Scheme, host and path are those of the blocked URL or of the source file.', max_length=16)),
                ('pattern', models.CharField(help_text='For the target scheme: a scheme, such as moz-extension. For host: a host, or *.foo.example for the host and its subdomains. For path: the start of a path, such as /inject/ or foo.example/inject/. For user agent: a part of the user agent.', max_length=255)),
                ('reason', models.TextField()),
                ('source', models.CharField(blank=True, help_text='A page about this noise.', max_length=255)),
                ('enabled', models.BooleanField(default=True)),
                ('built_in', models.BooleanField(default=False, editable=False, verbose_name='built-in')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['category', 'name'],
                'constraints': [models.UniqueConstraint(fields=('target', 'pattern'), name='csp_noise_rule_unique')],
            },
        ),
        migrations.CreateModel(
            name='ReachMember',
            fields=[
                ('pk', models.CompositePrimaryKey('group_id', 'kind', 'member', blank=True, editable=False, primary_key=True, serialize=False)),
                ('kind', models.SmallIntegerField(choices=[(1, 'Page'), (2, 'Browser'), (3, 'Day'), (4, 'Client Day')])),
                ('member', models.BigIntegerField()),
                ('group', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to='csp.group')),
            ],
        ),
        migrations.CreateModel(
            name='Report',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('received_at', models.DateTimeField()),
                ('occurred_at', models.DateTimeField()),
                ('rule_id', models.BigIntegerField(null=True)),
                ('format', models.CharField(max_length=32)),
                ('document_uri', models.TextField(blank=True, verbose_name='document URI')),
                ('referrer', models.TextField(blank=True)),
                ('blocked_uri', models.TextField(blank=True, verbose_name='blocked URI')),
                ('effective_directive', models.TextField(blank=True)),
                ('violated_directive', models.TextField(blank=True)),
                ('original_policy', models.TextField(blank=True)),
                ('disposition', models.CharField(blank=True, max_length=64)),
                ('status_code', models.IntegerField(null=True)),
                ('sample', models.TextField(blank=True)),
                ('source_file', models.TextField(blank=True)),
                ('line_number', models.IntegerField(null=True)),
                ('column_number', models.IntegerField(null=True)),
                ('browser', models.CharField(blank=True, max_length=64)),
                ('user_agent', models.TextField(blank=True)),
                ('client', models.BinaryField(max_length=16)),
                ('coder_version', models.CharField(blank=True, max_length=64)),
                ('extra', models.JSONField(default=dict)),
                ('weight', models.BigIntegerField(db_default=1, editable=False)),
                ('group', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='reports', to='csp.group')),
            ],
            options={
                'ordering': ['-received_at', '-id'],
                'indexes': [models.Index(fields=['-received_at', '-id'], name='csp_report_received'), models.Index(fields=['group', '-received_at'], name='csp_report_group'), models.Index(condition=models.Q(('rule_id__isnull', False)), fields=['rule_id', '-received_at'], name='csp_report_rule')],
            },
        ),
        migrations.RunSQL(PARTITION_REPORTS, migrations.RunSQL.noop),
        migrations.RunSQL(LEAVE_ROOM, migrations.RunSQL.noop),
        migrations.RunSQL(ANNOUNCE, "DROP FUNCTION csp_announce_ingest_key() CASCADE"),
        migrations.RunSQL(RULES_VERSION, "DROP FUNCTION csp_rules_version"),
        migrations.RunSQL(WEIGHT, "DROP FUNCTION csp_weight"),
        migrations.RunSQL(WRITE_BATCH, "DROP FUNCTION csp_write_batch"),
        migrations.RunPython(add_rules, migrations.RunPython.noop),
    ]
