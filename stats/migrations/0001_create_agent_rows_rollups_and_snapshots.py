from __future__ import annotations

import django.contrib.postgres.fields
from django.db import migrations, models

# Django cannot create partitioned tables, so this statement creates the table. `latency_bucket` is
# computed only here. `_bucket_latency` in stats.statistics is the inverse function, and the number in
# the formula is LOG_RATIO there.
AGENT_STATS = """
CREATE TABLE stats_agentstat (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    user_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    template_id uuid NOT NULL,
    connections_by_proto jsonb NOT NULL,
    connection_count bigint NOT NULL,
    rx_packets bigint NOT NULL,
    rx_bytes bigint NOT NULL,
    tx_packets bigint NOT NULL,
    tx_bytes bigint NOT NULL,
    session_count_vscode bigint,
    session_count_jetbrains bigint,
    session_count_reconnecting_pty bigint,
    session_count_ssh bigint,
    other_sessions jsonb,
    connection_median_latency_ms double precision NOT NULL,
    is_usage boolean NOT NULL,
    latency_bucket integer GENERATED ALWAYS AS (
        CASE WHEN connection_median_latency_ms > 0
        THEN ceil(ln(connection_median_latency_ms) / 0.019000571614286515)::integer - 1 END
    ) STORED,
    PRIMARY KEY (created_at, id)
) PARTITION BY RANGE (created_at);
CREATE INDEX agent_stat_of_agent ON stats_agentstat (agent_id, created_at);
CREATE INDEX agent_stat_usage ON stats_agentstat (created_at) WHERE is_usage;
"""


def counts(*names, **members):
    return [(name, models.BigIntegerField(**members)) for name in names]


SESSIONS = [
    *counts(*[f'session_count_{kind}' for kind in ('vscode', 'jetbrains', 'reconnecting_pty', 'ssh')], default=0, null=True),
    ('other_sessions', models.JSONField(null=True)),
]


class Migration(migrations.Migration):

    initial = True

    operations = [
        migrations.CreateModel(
            name='NewestAgentStat',
            fields=[
                *SESSIONS,
                ('agent_id', models.UUIDField(primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField()),
                ('id', models.UUIDField()),
                ('workspace_id', models.UUIDField()),
            ],
        ),
        migrations.CreateModel(
            name='Rollup',
            fields=[
                ('pk', models.CompositePrimaryKey('span_seconds', 'starts_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('span_seconds', models.IntegerField(choices=[(60, 'Minute'), (3600, 'Hour')])),
                ('starts_at', models.DateTimeField()),
                ('row_count', models.BigIntegerField(default=0)),
                ('rx_bytes', models.DecimalField(decimal_places=0, default=0, max_digits=40)),
                ('tx_bytes', models.DecimalField(decimal_places=0, default=0, max_digits=40)),
                ('unmeasured_rx_bytes', models.DecimalField(decimal_places=0, max_digits=40, null=True)),
                ('unmeasured_tx_bytes', models.DecimalField(decimal_places=0, max_digits=40, null=True)),
                ('latency_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list)),
                ('latency_counts', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list)),
                ('latency_p50_ms', models.FloatField(null=True)),
                ('latency_p95_ms', models.FloatField(null=True)),
                ('built_at', models.DateTimeField()),
                ('is_closed', models.BooleanField(db_default=False, default=False)),
            ],
        ),
        migrations.CreateModel(
            name='StaleMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField(db_index=True)),
                ('rows_were_deleted', models.BooleanField(default=False)),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(AGENT_STATS, 'DROP TABLE stats_agentstat')],
            state_operations=[
                migrations.CreateModel(
                    name='AgentStat',
                    fields=[
                        *SESSIONS,
                        ('pk', models.CompositePrimaryKey('created_at', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('id', models.UUIDField()),
                        ('created_at', models.DateTimeField()),
                        *[(f'{owner}_id', models.UUIDField()) for owner in ('user', 'agent', 'workspace', 'template')],
                        ('connections_by_proto', models.JSONField(default=dict)),
                        *counts('connection_count', 'rx_packets', 'rx_bytes', 'tx_packets', 'tx_bytes', default=0),
                        ('connection_median_latency_ms', models.FloatField(default=-1)),
                        ('is_usage', models.BooleanField(default=False)),
                        ('latency_bucket', models.IntegerField(editable=False, null=True)),
                    ],
                    options={
                        'indexes': [models.Index(fields=['agent_id', 'created_at'], name='agent_stat_of_agent'), models.Index(condition=models.Q(('is_usage', True)), fields=['created_at'], name='agent_stat_usage')],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name='Snapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('collected_at', models.DateTimeField(unique=True)),
                ('aggregated_from', models.DateTimeField()),
                *counts('pending', 'building', 'running', 'failed', 'stopped', 'rx_bytes', 'tx_bytes'),
                ('latency_p50_ms', models.FloatField()),
                ('latency_p95_ms', models.FloatField()),
                ('session_counts', models.JSONField()),
                ('method', models.CharField(choices=[('exact', 'Exact'), ('histogram', 'Estimated')], max_length=16, verbose_name='percentiles')),
                ('source', models.CharField(choices=[('reports', 'Reports'), ('backfill', 'Backfill'), ('builds', 'Builds')], default='reports', max_length=16)),
                ('row_count', models.BigIntegerField()),
                ('duration_ms', models.FloatField()),
                ('configuration_hash', models.CharField(blank=True, default='', max_length=64)),
                ('build_version', models.CharField(blank=True, default='', max_length=128)),
            ],
            options={
                'ordering': ['-collected_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(('aggregated_from__lt', models.F('collected_at'))), name='snapshot_window_not_empty')],
            },
        ),
        migrations.CreateModel(
            name='WorkspaceState',
            fields=[
                ('workspace_id', models.UUIDField(primary_key=True, serialize=False)),
                ('is_deleted', models.BooleanField(default=False)),
                ('build_number', models.BigIntegerField(null=True)),
                ('transition', models.CharField(blank=True, choices=[('start', 'Start'), ('stop', 'Stop'), ('delete', 'Delete')], default='', max_length=8)),
                ('job_started_at', models.DateTimeField(null=True)),
                ('job_canceled_at', models.DateTimeField(null=True)),
                ('job_completed_at', models.DateTimeField(null=True)),
                ('job_updated_at', models.DateTimeField(null=True)),
                ('error', models.TextField(blank=True, default='')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('transition__in', ['', 'start', 'stop', 'delete'])), name='workspace_state_transition_known')],
            },
        ),
    ]
