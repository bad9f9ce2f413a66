from __future__ import annotations

from django.db import migrations, models

# The table is partitioned, and this statement also changes its partitions. No row is rewritten.
KINDS = ('vscode', 'jetbrains', 'reconnecting_pty', 'ssh')
NULLABLE = 'ALTER TABLE stats_agentstat ADD other_sessions jsonb, ' + ', '.join(
    f'ALTER session_count_{kind} DROP NOT NULL' for kind in KINDS
)
REVERSE = """
ALTER TABLE stats_agentstat DROP other_sessions, ALTER session_count_vscode SET NOT NULL,
    ALTER session_count_jetbrains SET NOT NULL, ALTER session_count_reconnecting_pty SET NOT NULL,
    ALTER session_count_ssh SET NOT NULL
"""


def fields(model):
    return [
        migrations.AddField(model, 'other_sessions', models.JSONField(null=True)),
        *[
            migrations.AlterField(model, f'session_count_{kind}', models.BigIntegerField(default=0, null=True))
            for kind in KINDS
        ],
    ]


class Migration(migrations.Migration):

    dependencies = [('stats', '0001_rows_rollups_and_snapshots')]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(NULLABLE, REVERSE)],
            state_operations=fields('agentstat'),
        ),
        *fields('newestagentstat'),
    ]
