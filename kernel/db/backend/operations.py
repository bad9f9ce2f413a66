"""Django's operations, whose `flush` may also empty append-only tables."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import operations

# The triggers against TRUNCATE read this setting. It lasts until the end of the transaction.
ALLOW_TRUNCATE = "SELECT set_config('coderapi.allows_truncate', 'on', true)"


class DatabaseOperations(operations.DatabaseOperations):
    def sql_flush(self, *args: Any, **options: Any) -> list[str]:
        found = super().sql_flush(*args, **options)
        return [ALLOW_TRUNCATE, *found] if found else found
