from __future__ import annotations

import django.contrib.postgres.fields
from django.db import migrations, models


AGENT_STATS = """
CREATE TABLE deployment_agentstat (
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
    connection_median_latency_ms double precision NOT NULL,
    session_count_vscode bigint NOT NULL,
    session_count_jetbrains bigint NOT NULL,
    session_count_reconnecting_pty bigint NOT NULL,
    session_count_ssh bigint NOT NULL,
    usage boolean NOT NULL,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX agent_stat_created_at ON deployment_agentstat (created_at);
"""
LATENCY_BUCKETS = """
CREATE TABLE deployment_latencybucket (
    minute timestamptz NOT NULL,
    bucket integer NOT NULL,
    row_count bigint NOT NULL,
    PRIMARY KEY (minute, bucket)
);
"""


def by_sql(
    create: str, drop: str, model: migrations.CreateModel
) -> migrations.SeparateDatabaseAndState:
    """A table whose key Django's models cannot declare: made by SQL, and known to Django all the same."""
    return migrations.SeparateDatabaseAndState(
        database_operations=[migrations.RunSQL(create, f"DROP TABLE {drop}")],
        state_operations=[model],
    )


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="AheadAgentStat",
            fields=[
                ("session_count_vscode", models.BigIntegerField(default=0)),
                ("session_count_jetbrains", models.BigIntegerField(default=0)),
                ("session_count_reconnecting_pty", models.BigIntegerField(default=0)),
                ("session_count_ssh", models.BigIntegerField(default=0)),
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(db_index=True)),
                ("agent_id", models.UUIDField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="ClosedHour",
            fields=[
                ("start", models.DateTimeField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="FileImport",
            fields=[
                ("fingerprint", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("records", models.BigIntegerField()),
                ("updated_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="LateAgentStat",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(db_index=True)),
            ],
        ),
        by_sql(
            LATENCY_BUCKETS,
            "deployment_latencybucket",
            migrations.CreateModel(
                name="LatencyBucket",
                fields=[
                    ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                    ("bucket", models.IntegerField()),
                    ("row_count", models.BigIntegerField()),
                ],
            ),
        ),
        migrations.CreateModel(
            name="MinuteSum",
            fields=[
                ("minute", models.DateTimeField(primary_key=True, serialize=False)),
                ("row_count", models.BigIntegerField()),
                ("measured_count", models.BigIntegerField()),
                ("rx_bytes", models.DecimalField(decimal_places=0, max_digits=40)),
                ("tx_bytes", models.DecimalField(decimal_places=0, max_digits=40)),
            ],
        ),
        migrations.CreateModel(
            name="NewestAgentStat",
            fields=[
                ("session_count_vscode", models.BigIntegerField(default=0)),
                ("session_count_jetbrains", models.BigIntegerField(default=0)),
                ("session_count_reconnecting_pty", models.BigIntegerField(default=0)),
                ("session_count_ssh", models.BigIntegerField(default=0)),
                ("agent_id", models.UUIDField(primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField()),
                ("id", models.UUIDField()),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="StaleSpan",
            fields=[
                ("start", models.DateTimeField(primary_key=True, serialize=False)),
            ],
        ),
        by_sql(
            AGENT_STATS,
            "deployment_agentstat",
            migrations.CreateModel(
                name="AgentStat",
                fields=[
                    ("session_count_vscode", models.BigIntegerField(default=0)),
                    ("session_count_jetbrains", models.BigIntegerField(default=0)),
                    ("session_count_reconnecting_pty", models.BigIntegerField(default=0)),
                    ("session_count_ssh", models.BigIntegerField(default=0)),
                    ("id", models.UUIDField(primary_key=True, serialize=False)),
                    ("created_at", models.DateTimeField()),
                    ("user_id", models.UUIDField()),
                    ("agent_id", models.UUIDField()),
                    ("workspace_id", models.UUIDField()),
                    ("template_id", models.UUIDField()),
                    ("connections_by_proto", models.JSONField(default=dict)),
                    ("connection_count", models.BigIntegerField(default=0)),
                    ("rx_packets", models.BigIntegerField(default=0)),
                    ("rx_bytes", models.BigIntegerField(default=0)),
                    ("tx_packets", models.BigIntegerField(default=0)),
                    ("tx_bytes", models.BigIntegerField(default=0)),
                    ("connection_median_latency_ms", models.FloatField(default=-1)),
                    ("usage", models.BooleanField(default=False)),
                ],
                options={
                    "indexes": [models.Index(fields=["created_at"], name="agent_stat_created_at")],
                },
            ),
        ),
        migrations.CreateModel(
            name="Rung",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("span", models.IntegerField()),
                ("start", models.DateTimeField()),
                ("row_count", models.BigIntegerField()),
                ("rx_bytes", models.DecimalField(decimal_places=0, max_digits=40)),
                ("tx_bytes", models.DecimalField(decimal_places=0, max_digits=40)),
                (
                    "latency_histogram",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=django.contrib.postgres.fields.ArrayField(
                            base_field=models.BigIntegerField(), size=2
                        ),
                        default=list,
                    ),
                ),
                ("collected_at", models.DateTimeField(null=True)),
                ("workspaces", models.JSONField(default=dict)),
                ("session_counts", models.JSONField(default=dict)),
                ("build_version", models.CharField(blank=True, default="", max_length=128)),
                ("configuration_hash", models.CharField(blank=True, default="", max_length=64)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("span", "start"), name="rung_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Snapshot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("collected_at", models.DateTimeField(unique=True)),
                ("aggregated_from", models.DateTimeField()),
                ("pending", models.BigIntegerField()),
                ("building", models.BigIntegerField()),
                ("running", models.BigIntegerField()),
                ("failed", models.BigIntegerField()),
                ("stopped", models.BigIntegerField()),
                ("rx_bytes", models.BigIntegerField()),
                ("tx_bytes", models.BigIntegerField()),
                ("latency_p50", models.FloatField()),
                ("latency_p95", models.FloatField()),
                ("session_counts", models.JSONField()),
                (
                    "latency_histogram",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=django.contrib.postgres.fields.ArrayField(
                            base_field=models.BigIntegerField(), size=2
                        ),
                        default=list,
                    ),
                ),
                (
                    "method",
                    models.CharField(
                        choices=[("exact", "Exact"), ("histogram", "Histogram")], max_length=16
                    ),
                ),
                ("source", models.CharField(default="reports", max_length=16)),
                ("row_count", models.BigIntegerField()),
                ("duration_ms", models.FloatField()),
                ("configuration_hash", models.CharField(blank=True, default="", max_length=64)),
                ("build_version", models.CharField(blank=True, default="", max_length=128)),
            ],
            options={
                "ordering": ["-collected_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("aggregated_from__lt", models.F("collected_at"))),
                        name="snapshot_window_not_empty",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkspaceState",
            fields=[
                ("workspace_id", models.UUIDField(primary_key=True, serialize=False)),
                ("deleted", models.BooleanField(default=False)),
                ("build_number", models.BigIntegerField(null=True)),
                (
                    "transition",
                    models.CharField(
                        blank=True,
                        choices=[("start", "Start"), ("stop", "Stop"), ("delete", "Delete")],
                        default="",
                        max_length=8,
                    ),
                ),
                ("job_started_at", models.DateTimeField(null=True)),
                ("job_canceled_at", models.DateTimeField(null=True)),
                ("job_completed_at", models.DateTimeField(null=True)),
                ("job_updated_at", models.DateTimeField(null=True)),
                ("error", models.TextField(blank=True, default="")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("transition__in", ["", "start", "stop", "delete"])),
                        name="workspace_state_transition_known",
                    )
                ],
            },
        ),
    ]
