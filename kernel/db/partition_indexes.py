"""An index on a table that is partitioned by time, built while the table is written to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Partitions of others, which our names do not fit, are left alone.
_WITHOUT_IT = r"""
SELECT leaf.relname FROM pg_inherits JOIN pg_class AS leaf ON leaf.oid = inhrelid
WHERE inhparent = %s::regclass AND leaf.relname ~ %s AND NOT EXISTS (
    SELECT FROM pg_index JOIN pg_inherits AS of_index ON of_index.inhrelid = indexrelid
    WHERE indrelid = leaf.oid AND of_index.inhparent = %s::regclass
)
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class PartitionIndex:
    """The index `name` of `table`. A partition's has its partition's name and `suffix`.

    `add` and `drop` are what a migration that is not atomic runs. Partition by partition and
    concurrently, so that rows come in meanwhile. Partitions made from the first statement on have
    the index already, and the table's is valid once the last is attached.
    """

    table: str
    name: str
    suffix: str
    definition: str

    def add(self, _apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(
                f"CREATE INDEX IF NOT EXISTS {self.name} ON ONLY {self.table} {self.definition}"
            )
            ours = rf"^{self.table}_p\d{{12}}$"
            cursor.execute(_WITHOUT_IT, [self.table, ours, self.name])
            for (partition,) in cursor.fetchall():
                self._add_to(cursor, partition)

    def _add_to(self, cursor: Any, partition: str) -> None:
        # It may have been dropped meanwhile.
        cursor.execute("SELECT to_regclass(%s) IS NULL", [partition])
        if cursor.fetchone()[0]:
            return
        index = f'"{partition}_{self.suffix}"'
        # What an attempt that was broken off left behind is not valid.
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index}")
        cursor.execute(f'CREATE INDEX CONCURRENTLY {index} ON "{partition}" {self.definition}')
        cursor.execute(f"ALTER INDEX {self.name} ATTACH PARTITION {index}")

    def drop(self, _apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        schema_editor.execute(f"DROP INDEX {self.name}")
