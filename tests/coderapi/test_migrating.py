"""The lock under which one of many processes migrates."""

from __future__ import annotations

import pytest
from django.db import connection

from coderapi.server.migrating import migration_lock


@pytest.mark.django_db(transaction=True)
def test_index_is_built_concurrently_while_the_lock_is_held() -> None:
    with migration_lock(), connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '20s'")
        cursor.execute("CREATE INDEX CONCURRENTLY built_meanwhile ON csp_group (blocked)")
        cursor.execute("DROP INDEX built_meanwhile")
        cursor.execute("RESET statement_timeout")
