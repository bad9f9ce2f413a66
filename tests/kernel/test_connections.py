"""Connections to PostgreSQL: they notice a dead server, and parameters in the URL win."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from kernel.db.connections import (
    LIVENESS,
    connect_as_requests_do,
    connect_directly,
    databases,
    leave_pool,
)


def of_django() -> psycopg.Connection[Any]:
    connection.ensure_connection()
    return connection.connection  # type: ignore[no-any-return]


def outside_the_pool() -> psycopg.Connection[Any]:
    leave_pool()
    return of_django()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "opened", [of_django, outside_the_pool, connect_directly, connect_as_requests_do]
)
def test_each_end_of_a_connection_notices_that_the_other_is_dead(
    opened: Callable[[], psycopg.Connection[Any]],
) -> None:
    def parameters() -> tuple[dict[str, str], Any]:
        try:
            with opened() as found:
                row = found.execute("SHOW idle_in_transaction_session_timeout").fetchone()
                return found.info.get_parameters(), row
        finally:
            connection.close()

    # Runs in another thread, so that this thread keeps its own Django connection.
    with ThreadPoolExecutor(1) as thread:
        found, row = thread.submit(parameters).result()
    assert {name: str(value) for name, value in LIVENESS.items()}.items() <= found.items()
    assert found["application_name"].startswith("coderapi@")
    assert row == ("1min",)


def test_parameters_of_the_url_win() -> None:
    url = "postgresql://me:word@h1,h2/d?connect_timeout=7&target_session_attrs=read-write"
    made = databases(url, pool_size=9, idle="auto", workers=2)["default"]
    assert (made["HOST"], made["USER"], made["NAME"]) == ("h1,h2", "me", "d")
    options = made["OPTIONS"]
    assert (options["connect_timeout"], options["keepalives_count"]) == ("7", 2)
    assert options["target_session_attrs"] == "read-write"
    assert (options["pool"]["min_size"], options["pool"]["max_size"]) == (1, 4)


def test_error_of_a_malformed_url_hides_the_password() -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        databases("postgresql://me:hunter2@h:port:port/d?no", pool_size=9, idle="1", workers=1)
    assert "hunter2" not in str(refused.value)
