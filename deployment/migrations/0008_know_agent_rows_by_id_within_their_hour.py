from __future__ import annotations

from django.db import migrations

PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'deployment_agentstat'::regclass ORDER BY 1
"""
KEY = "deployment_agentstat_pkey"


def make_ids_unique(apps, schema_editor):
    """An id is unique in each partition, which says more than the key (id, created_at) did."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            # What an attempt that was broken off left behind may not be valid.
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {partition}_id")
            cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {partition}_id ON {partition} (id)")
        cursor.execute(f"ALTER TABLE deployment_agentstat DROP CONSTRAINT IF EXISTS {KEY}")


def bring_the_key_back(apps, schema_editor):
    schema_editor.execute(
        f"ALTER TABLE deployment_agentstat ADD CONSTRAINT {KEY} PRIMARY KEY (id, created_at)"
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deployment", "0007_index_agent_rows_by_agent")]

    operations = [migrations.RunPython(make_ids_unique, bring_the_key_back)]
