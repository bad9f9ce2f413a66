from __future__ import annotations

from django.db import migrations, models

# Partition by partition and concurrently, so that rows come in meanwhile. Partitions made from the
# first statement on have the index already, and the parent's is valid once the last is attached.
# Partitions of others, which our names do not fit, are left alone.
PARTITIONS = r"""
SELECT leaf.relname FROM pg_inherits JOIN pg_class AS leaf ON leaf.oid = inhrelid
WHERE inhparent = 'deployment_agentstat'::regclass
AND leaf.relname ~ '^deployment_agentstat_p\d{12}$' AND NOT EXISTS (
    SELECT FROM pg_index JOIN pg_inherits AS of_index ON of_index.inhrelid = indexrelid
    WHERE indrelid = leaf.oid AND of_index.inhparent = 'agent_stat_of_agent'::regclass
)
ORDER BY 1
"""


def add_index(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "CREATE INDEX IF NOT EXISTS agent_stat_of_agent "
            "ON ONLY deployment_agentstat (agent_id, created_at)"
        )
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            # An hour may be dropped meanwhile.
            cursor.execute("SELECT to_regclass(%s) IS NULL", [partition])
            if cursor.fetchone()[0]:
                continue
            # What an attempt that was broken off left behind is not valid.
            cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{partition}_of_agent"')
            cursor.execute(
                f'CREATE INDEX CONCURRENTLY "{partition}_of_agent" '
                f'ON "{partition}" (agent_id, created_at)'
            )
            cursor.execute(
                f'ALTER INDEX agent_stat_of_agent ATTACH PARTITION "{partition}_of_agent"'
            )


def drop_index(apps, schema_editor):
    schema_editor.execute("DROP INDEX agent_stat_of_agent")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deployment", "0006_fold_usage_of_kept_rows")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add_index, drop_index)],
            state_operations=[
                migrations.AddIndex(
                    model_name="agentstat",
                    index=models.Index(
                        fields=["agent_id", "created_at"], name="agent_stat_of_agent"
                    ),
                ),
            ],
        ),
    ]
