from __future__ import annotations

from django.db import migrations, models

# Partition by partition and concurrently, so that reports come in meanwhile. Partitions made from
# the first statement on have the index already; the parent's is valid once the last is attached.
PARTITIONS = """
SELECT leaf.relname FROM pg_inherits JOIN pg_class AS leaf ON leaf.oid = inhrelid
WHERE inhparent = 'csp_report'::regclass AND NOT EXISTS (
    SELECT FROM pg_index JOIN pg_inherits AS of_index ON of_index.inhrelid = indexrelid
    WHERE indrelid = leaf.oid AND of_index.inhparent = 'csp_report_rule'::regclass
)
ORDER BY 1
"""
WHAT = "(rule_id, received_at DESC) WHERE rule_id IS NOT NULL"


def add_index(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX IF NOT EXISTS csp_report_rule ON ONLY csp_report {WHAT}")
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            # What an attempt that was broken off left behind is not valid.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {partition}_rule")
            cursor.execute(f"CREATE INDEX CONCURRENTLY {partition}_rule ON {partition} {WHAT}")
            cursor.execute(f"ALTER INDEX csp_report_rule ATTACH PARTITION {partition}_rule")


def drop_index(apps, schema_editor):
    schema_editor.execute("DROP INDEX csp_report_rule")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("csp", "0007_name_uris")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(add_index, drop_index)],
            state_operations=[
                migrations.AddIndex(
                    model_name="report",
                    index=models.Index(
                        fields=["rule_id", "-received_at"],
                        name="csp_report_rule",
                        condition=models.Q(rule_id__isnull=False),
                    ),
                ),
            ],
        ),
    ]
