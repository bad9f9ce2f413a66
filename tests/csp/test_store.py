"""Batches in PostgreSQL: concurrent writers, kept plans and repeated batches."""

from __future__ import annotations

import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models import Sum
from psycopg.conninfo import make_conninfo

from csp.models import Group, GroupHour, Report
from csp.writing.entries import Entry
from csp.writing.store import Store
from tests.support.api.client import APIClient
from tests.support.csp.reports import CHROME, FIREFOX, entries, legacy, send
from tests.support.databases.pooler import PGBOUNCER, pooler

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("collecting")]

KEPT_PLANS = r"SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE E'\nWITH batch %'"


def of_hosts(hosts: range, *, address: str = "::1") -> list[Entry]:
    """Returns one report of each host."""
    bodies = [legacy(blocked_uri=f"https://host{host}.example.net/") for host in hosts]
    return [entry for body in bodies for entry in entries(body, address=address)]


def test_processes_that_write_the_same_groups_count_each_report_once() -> None:
    def run(process: int) -> None:
        store = Store()
        for _ in range(20):
            store.commit(of_hosts(range(10), address=f"10.0.0.{process}"))
        store.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert set(Group.objects.values_list("reports", "client_days")) == {(80, 4)}
    assert GroupHour.objects.aggregate(n=Sum("reports"))["n"] == Report.objects.count() == 800


def test_direct_connection_keeps_the_plan_of_a_batch() -> None:
    store = Store()
    store.commit(of_hosts(range(1)))
    assert store.connected().execute(KEPT_PLANS).fetchone() == (1,)
    store.close()


@pytest.mark.skipif(not PGBOUNCER, reason="pgbouncer is not installed")
def test_batches_are_written_through_pgbouncer(settings: LazySettings) -> None:
    facts: dict[str, Any] = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    database = make_conninfo(**{name: facts[name] for name in names if facts.get(name)})
    with (
        tempfile.TemporaryDirectory(prefix="coderapi-pool-") as directory,
        pooler(database, Path(directory)) as url,
    ):
        settings.DIRECT_DATABASE_URL = url
        store = Store()
        for _ in range(3):
            store.commit(of_hosts(range(2)))
            assert store.connected().execute(KEPT_PLANS).fetchone() == (0,)
        store.close()
    assert Report.objects.count() == 6


def test_repeated_batch_is_written_once() -> None:
    batch = uuid.uuid4()
    written = []
    for _ in range(2):
        store = Store()
        written.append(store.commit(of_hosts(range(3)), mark=batch))
        store.close()
    assert written == [True, False]
    assert Report.objects.count() == GroupHour.objects.aggregate(n=Sum("reports"))["n"] == 3


def test_equal_reports_from_two_networks_are_two_clients(member: APIClient) -> None:
    for address, agent in (("10.0.0.1", CHROME), ("10.0.0.2", FIREFOX), ("10.0.0.1", CHROME)):
        send(member, legacy(), REMOTE_ADDR=address, headers={"User-Agent": agent})
    assert Group.objects.values_list("reports", "client_days", "pages").get() == (3, 2, 1)
    assert set(Report.objects.values_list("browser", flat=True)) == {"Chrome 142", "Firefox 149"}
    for address in ("2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1"):
        send(member, legacy(), REMOTE_ADDR=address)
    assert Group.objects.values_list("reports", "client_days").get() == (6, 3)
