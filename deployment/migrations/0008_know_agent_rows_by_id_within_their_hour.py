from __future__ import annotations

import logging
import time

from django.db import OperationalError, migrations
from psycopg.errors import LockNotAvailable

logger = logging.getLogger(__name__)

# Partitions of others, which our names do not fit, are left alone.
PARTITIONS = r"""
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'deployment_agentstat'::regclass
AND relname ~ '^deployment_agentstat_p\d{12}$' ORDER BY 1
"""
KEY = "deployment_agentstat_pkey"
TRIES = 10


def make_ids_unique(apps, schema_editor):
    """An id is unique in each partition, which says more than the key (id, created_at) did."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            # An hour may be dropped meanwhile.
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [partition])
            if cursor.fetchone()[0]:
                make_unique_in(cursor, partition)
        drop_the_key(cursor)


def make_unique_in(cursor, partition):
    # The key let an id in with two times. One row stays.
    cursor.execute(
        f'DELETE FROM "{partition}" AS a USING "{partition}" AS b '
        "WHERE a.id = b.id AND a.ctid > b.ctid"
    )
    if cursor.rowcount:
        logger.warning("Rows of %s whose ids came twice were deleted: %s", partition, cursor.rowcount)
    # What an attempt that was broken off left behind may not be valid.
    cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{partition}_id"')
    cursor.execute(f'CREATE UNIQUE INDEX CONCURRENTLY "{partition}_id" ON "{partition}" (id)')


def drop_the_key(cursor):
    """For a moment nothing else may use the table: it waits a little at a time, lest all else does."""
    cursor.execute("SET lock_timeout = '4s'")
    try:
        for left in reversed(range(TRIES)):
            try:
                cursor.execute(f"ALTER TABLE deployment_agentstat DROP CONSTRAINT IF EXISTS {KEY}")
                return
            except OperationalError as error:
                if not left or not isinstance(error.__cause__, LockNotAvailable):
                    raise
                time.sleep(1)
    finally:
        cursor.execute("RESET lock_timeout")


def bring_the_key_back(apps, schema_editor):
    schema_editor.execute(
        f"ALTER TABLE deployment_agentstat ADD CONSTRAINT {KEY} PRIMARY KEY (id, created_at)"
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deployment", "0007_index_agent_rows_by_agent")]

    operations = [migrations.RunPython(make_ids_unique, bring_the_key_back)]
