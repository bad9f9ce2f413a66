"""Django's schema editor, which marks the tables that migrations create."""

from __future__ import annotations

from typing import Any, Self

from django.db.backends.postgresql import schema

from kernel.db.schema import MARK

_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = current_schema()::regnamespace
"""


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Adds the comment MARK to each new table, in the transaction that creates the table.

    So a restore recognizes the tables of each release, also those that this release does not know.
    """

    def __enter__(self) -> Self:
        self._before = self._tables()
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is None:
            for name in self._tables() - self._before:
                self.execute(f"COMMENT ON TABLE {name} IS '{MARK}'", None)
        super().__exit__(exc_type, exc_value, traceback)

    def _tables(self) -> set[str]:
        if self.collect_sql:
            return set()
        with self.connection.cursor() as cursor:
            cursor.execute(_TABLES)
            return {name for (name,) in cursor.fetchall()}
