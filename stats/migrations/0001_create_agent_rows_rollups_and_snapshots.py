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

# The statement above makes no comments.
COMMENTS = """
COMMENT ON COLUMN stats_agentstat.session_count_vscode IS 'Sessions of VS Code.';
COMMENT ON COLUMN stats_agentstat.session_count_jetbrains IS 'Sessions of JetBrains IDEs.';
COMMENT ON COLUMN stats_agentstat.session_count_reconnecting_pty IS 'Sessions of web terminals.';
COMMENT ON COLUMN stats_agentstat.session_count_ssh IS 'Sessions of SSH clients.';
COMMENT ON COLUMN stats_agentstat.other_sessions IS 'The sessions of all other applications by name. NULL without any.';
COMMENT ON COLUMN stats_agentstat.id IS 'The id of the row.';
COMMENT ON COLUMN stats_agentstat.created_at IS 'The time of the report.';
COMMENT ON COLUMN stats_agentstat.user_id IS 'The id of the workspace''s owner.';
COMMENT ON COLUMN stats_agentstat.agent_id IS 'The id of the agent that sent the report.';
COMMENT ON COLUMN stats_agentstat.workspace_id IS 'The id of the agent''s workspace.';
COMMENT ON COLUMN stats_agentstat.template_id IS 'The id of the workspace''s template.';
COMMENT ON COLUMN stats_agentstat.connections_by_proto IS 'The number of open connections by protocol.';
COMMENT ON COLUMN stats_agentstat.connection_count IS 'The number of open connections.';
COMMENT ON COLUMN stats_agentstat.rx_packets IS 'Packets received since the previous row of the agent.';
COMMENT ON COLUMN stats_agentstat.rx_bytes IS 'Bytes received since the previous row of the agent.';
COMMENT ON COLUMN stats_agentstat.tx_packets IS 'Packets sent since the previous row of the agent.';
COMMENT ON COLUMN stats_agentstat.tx_bytes IS 'Bytes sent since the previous row of the agent.';
COMMENT ON COLUMN stats_agentstat.connection_median_latency_ms IS 'The median latency in milliseconds. -1 if none was measured.';
COMMENT ON COLUMN stats_agentstat.is_usage IS 'Whether this is a usage row of Coder.';
COMMENT ON COLUMN stats_agentstat.latency_bucket IS 'The bucket of the histogram. NULL without a latency above 0.';
"""


class Migration(migrations.Migration):

    initial = True

    operations = [
        migrations.CreateModel(
            name='NewestAgentStat',
            fields=[
                ('session_count_vscode', models.BigIntegerField(db_comment='Sessions of VS Code.', default=0, null=True)),
                ('session_count_jetbrains', models.BigIntegerField(db_comment='Sessions of JetBrains IDEs.', default=0, null=True)),
                ('session_count_reconnecting_pty', models.BigIntegerField(db_comment='Sessions of web terminals.', default=0, null=True)),
                ('session_count_ssh', models.BigIntegerField(db_comment='Sessions of SSH clients.', default=0, null=True)),
                ('other_sessions', models.JSONField(db_comment='The sessions of all other applications by name. NULL without any.', null=True)),
                ('agent_id', models.UUIDField(db_comment='The id of the agent.', primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField(db_comment='The time of the report.')),
                ('id', models.UUIDField(db_comment='The id of the agent row.')),
                ('workspace_id', models.UUIDField(db_comment="The id of the agent's workspace.")),
            ],
        ),
        migrations.CreateModel(
            name='Rollup',
            fields=[
                ('pk', models.CompositePrimaryKey('span_seconds', 'starts_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('span_seconds', models.IntegerField(choices=[(60, 'Minute'), (3600, 'Hour')], db_comment='60 for a minute, 3600 for an hour.')),
                ('starts_at', models.DateTimeField(db_comment='The start of the minute or the hour.')),
                ('row_count', models.BigIntegerField(db_comment='The number of agent rows.', default=0)),
                ('measured_rx_bytes', models.DecimalField(db_comment='Bytes received in rows with a latency.', decimal_places=0, default=0, max_digits=40)),
                ('measured_tx_bytes', models.DecimalField(db_comment='Bytes sent in rows with a latency.', decimal_places=0, default=0, max_digits=40)),
                ('unmeasured_rx_bytes', models.DecimalField(db_comment='Bytes received in rows without a latency. NULL if they were not summed.', decimal_places=0, max_digits=40, null=True)),
                ('unmeasured_tx_bytes', models.DecimalField(db_comment='Bytes sent in rows without a latency. NULL if they were not summed.', decimal_places=0, max_digits=40, null=True)),
                ('latency_buckets', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), db_comment='The buckets of the latency histogram that have rows.', default=list)),
                ('latency_counts', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), db_comment='The number of rows in each of these buckets.', default=list)),
                ('latency_p50_ms', models.FloatField(db_comment='The median latency in milliseconds. -1 if unmeasured. NULL for a minute.', null=True)),
                ('latency_p95_ms', models.FloatField(db_comment='The 95th percentile of the latency. -1 if unmeasured. NULL for a minute.', null=True)),
                ('built_at', models.DateTimeField(db_comment='When the sums were computed.')),
                ('is_final', models.BooleanField(db_comment='Whether the hour is closed: its agent rows were dropped, so the sums stay.', db_default=False, default=False)),
            ],
        ),
        migrations.CreateModel(
            name='StaleMinute',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField(db_comment='The start of the minute.', db_index=True)),
                ('rows_were_deleted', models.BooleanField(db_comment='Whether rows were deleted, maybe the newest of an agent.', default=False)),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(AGENT_STATS + COMMENTS, 'DROP TABLE stats_agentstat')],
            state_operations=[
                migrations.CreateModel(
                    name='AgentStat',
                    fields=[
                        ('session_count_vscode', models.BigIntegerField(db_comment='Sessions of VS Code.', default=0, null=True)),
                        ('session_count_jetbrains', models.BigIntegerField(db_comment='Sessions of JetBrains IDEs.', default=0, null=True)),
                        ('session_count_reconnecting_pty', models.BigIntegerField(db_comment='Sessions of web terminals.', default=0, null=True)),
                        ('session_count_ssh', models.BigIntegerField(db_comment='Sessions of SSH clients.', default=0, null=True)),
                        ('other_sessions', models.JSONField(db_comment='The sessions of all other applications by name. NULL without any.', null=True)),
                        ('pk', models.CompositePrimaryKey('created_at', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('id', models.UUIDField(db_comment='The id of the row.')),
                        ('created_at', models.DateTimeField(db_comment='The time of the report.')),
                        ('user_id', models.UUIDField(db_comment="The id of the workspace's owner.")),
                        ('agent_id', models.UUIDField(db_comment='The id of the agent that sent the report.')),
                        ('workspace_id', models.UUIDField(db_comment="The id of the agent's workspace.")),
                        ('template_id', models.UUIDField(db_comment="The id of the workspace's template.")),
                        ('connections_by_proto', models.JSONField(db_comment='The number of open connections by protocol.', default=dict)),
                        ('connection_count', models.BigIntegerField(db_comment='The number of open connections.', default=0)),
                        ('rx_packets', models.BigIntegerField(db_comment='Packets received since the previous row of the agent.', default=0)),
                        ('rx_bytes', models.BigIntegerField(db_comment='Bytes received since the previous row of the agent.', default=0)),
                        ('tx_packets', models.BigIntegerField(db_comment='Packets sent since the previous row of the agent.', default=0)),
                        ('tx_bytes', models.BigIntegerField(db_comment='Bytes sent since the previous row of the agent.', default=0)),
                        ('connection_median_latency_ms', models.FloatField(db_comment='The median latency in milliseconds. -1 if none was measured.', default=-1)),
                        ('is_usage', models.BooleanField(db_comment='Whether this is a usage row of Coder.', default=False)),
                        ('latency_bucket', models.IntegerField(db_comment='The bucket of the histogram. NULL without a latency above 0.', editable=False, null=True)),
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
                ('collected_at', models.DateTimeField(db_comment='The time of the snapshot, and the end of its window.', unique=True)),
                ('aggregated_from', models.DateTimeField(db_comment='The start of the window for traffic and latency.')),
                ('pending', models.BigIntegerField(db_comment='Workspaces whose newest build has not started. 0 if unknown.')),
                ('building', models.BigIntegerField(db_comment='Workspaces whose newest build is running. 0 if unknown.')),
                ('running', models.BigIntegerField(db_comment='Workspaces that are started.')),
                ('failed', models.BigIntegerField(db_comment='Workspaces whose newest build ended in an error. 0 if unknown.')),
                ('stopped', models.BigIntegerField(db_comment='Workspaces that are stopped. 0 if unknown.')),
                ('rx_bytes', models.BigIntegerField(db_comment='Bytes received in the window.')),
                ('tx_bytes', models.BigIntegerField(db_comment='Bytes sent in the window.')),
                ('latency_p50_ms', models.FloatField(db_comment='The median latency in milliseconds. -1 if none was measured.')),
                ('latency_p95_ms', models.FloatField(db_comment='The 95th percentile of the latency. -1 if none was measured.')),
                ('session_counts', models.JSONField(db_comment='The number of open sessions by application. Empty if unknown.')),
                ('latency_method', models.CharField(choices=[('exact', 'Exact'), ('histogram', 'Estimated')], db_comment='How the percentiles were computed: exact, or histogram.', max_length=16, verbose_name='percentiles')),
                ('workspaces_method', models.CharField(choices=[('reports', 'Reports'), ('backfill', 'Backfill'), ('builds', 'Builds')], db_comment='How workspaces were counted. reports: by their states. backfill: only running is known. builds: all but pending are known.', default='reports', max_length=16)),
                ('row_count', models.BigIntegerField(db_comment='The number of agent rows in the window.')),
                ('duration_ms', models.FloatField(db_comment='How long the computation took, in milliseconds.')),
                ('own_options_digest', models.CharField(blank=True, db_comment='A digest of the options of coderapi at that time. Never those of Coder.', default='', max_length=64)),
                ('buildinfo_version', models.CharField(blank=True, db_comment='The version in the build info: the release of Coder, and that of coderapi.', default='', max_length=128)),
            ],
            options={
                'ordering': ['-collected_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(('aggregated_from__lt', models.F('collected_at'))), name='snapshot_window_not_empty')],
            },
        ),
        migrations.CreateModel(
            name='WorkspaceState',
            fields=[
                ('workspace_id', models.UUIDField(db_comment='The id of the workspace.', primary_key=True, serialize=False)),
                ('is_deleted', models.BooleanField(db_comment='Whether the workspace is deleted.', default=False)),
                ('build_number', models.BigIntegerField(db_comment='The number of the newest build.', null=True)),
                ('transition', models.CharField(blank=True, choices=[('start', 'Start'), ('stop', 'Stop'), ('delete', 'Delete')], db_comment='What the build does: start, stop, delete or empty.', default='', max_length=8)),
                ('job_started_at', models.DateTimeField(db_comment='When the job of the build started. Null if it has not.', null=True)),
                ('job_canceled_at', models.DateTimeField(db_comment='When the job was canceled. Null if it was not.', null=True)),
                ('job_completed_at', models.DateTimeField(db_comment='When the job completed. Null if it has not.', null=True)),
                ('job_updated_at', models.DateTimeField(db_comment='When the job last changed.', null=True)),
                ('error', models.TextField(blank=True, db_comment='The error of the job, or empty.', default='')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('transition__in', ['', 'start', 'stop', 'delete'])), name='workspace_state_transition_known')],
            },
        ),
    ]
