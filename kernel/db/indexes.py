"""Adds indexes to partitioned tables without blocking reads or writes for long.

PostgreSQL has no CREATE INDEX CONCURRENTLY for a partitioned table. So the operation first creates
the index only on the table, which is not valid yet. Then it builds an index on each partition
concurrently, and attaches it. The index of the table becomes valid with its last partition.
PostgreSQL adds the index to a partition that is attached meanwhile.

The operation skips what an interrupted run has finished. So `migrate` can run it again.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.migrations.operations import AddIndex

_STATE = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
# The first partition whose index is not attached to the index of the table.
_NEXT = """
SELECT part.inhrelid::regclass::text, relname
FROM pg_inherits AS part JOIN pg_class ON pg_class.oid = part.inhrelid
WHERE part.inhparent = to_regclass(%(table)s) AND NOT part.inhdetachpending AND NOT EXISTS (
    SELECT FROM pg_inherits AS attached JOIN pg_index ON indexrelid = attached.inhrelid
    WHERE attached.inhparent = to_regclass(%(index)s) AND indrelid = part.inhrelid
)
ORDER BY 1 LIMIT 1
"""


class AddPartitionedIndex(AddIndex):
    """Adds an index to a table whose partitions have no partitions. Set `atomic = False`."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.collect_sql:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        if schema_editor.connection.in_atomic_block:
            raise RuntimeError("AddPartitionedIndex needs a migration with atomic = False.")
        _add(model, self.index, schema_editor)


def _add(model: type[models.Model], index: models.Index, schema_editor: Any) -> None:
    quoted = schema_editor.quote_name
    table, name = quoted(model._meta.db_table), quoted(index.name)
    with schema_editor.connection.cursor() as cursor:
        if not _row(cursor, _STATE, [name]):
            statement = str(index.create_sql(model, schema_editor))
            cursor.execute(statement.replace(f" ON {table}", f" ON ONLY {table}", 1))
        (definition,) = _row(cursor, "SELECT pg_get_indexdef(to_regclass(%s))", [name])
        what = definition.partition(" USING ")[2]
        while found := _row(cursor, _NEXT, {"table": table, "index": name}):
            partition, relname = found
            suffix = relname.removeprefix(model._meta.db_table)
            part = quoted(f"{index.name}{suffix}"[:63])
            _build(cursor, part, on=partition, what=what)
            cursor.execute(f"ALTER INDEX {name} ATTACH PARTITION {part}")


def _build(cursor: Any, name: str, *, on: str, what: str) -> None:
    """Builds the index of a partition, unless an earlier run has built it."""
    # These statements wait for the transactions that use the partition. They block neither reads
    # nor writes meanwhile, so the short timeout of `migrate` is not for them.
    timeout = _row(cursor, "SELECT current_setting('lock_timeout')")
    cursor.execute("SET lock_timeout = 0")
    state = _row(cursor, _STATE, [name])
    if state == (False,):  # The build was interrupted.
        cursor.execute(f"DROP INDEX CONCURRENTLY {name}")
    if state != (True,):
        cursor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {on} USING {what}")
    cursor.execute("SELECT set_config('lock_timeout', %s, false)", timeout)


def _row(cursor: Any, query: str, values: Any = ()) -> Any:
    cursor.execute(query, values)
    return cursor.fetchone()
