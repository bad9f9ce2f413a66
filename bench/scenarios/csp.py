"""CSP reports that browsers send."""

from __future__ import annotations

from bench import requests, rows
from bench.harness import Measure, Scenario
from bench.load import CONNECTIONS, BenchError, Figures
from bench.scenarios.base import Batches, Bench, load, transactions
from bench.service import Service

MANY_CONNECTIONS = 256
TABLE = "csp_report"
PATH = "/api/v2/csp/reports"


def csp(bench: Bench) -> Batches:
    """Measures reports beside pgbench, which inserts and commits one row at a time."""
    service = bench.service
    few, many = reports(service, CONNECTIONS), reports(service, MANY_CONNECTIONS)
    theirs = inserts(service)
    yield [
        Scenario("CSP reports, distinct bodies", few, theirs, at_least=0.4),
        Scenario("CSP reports, 256 connections", many, theirs, at_least=0.5),
        Scenario("CSP reports, p99 at 256 connections", many, at_most=80, figure="p99_ms"),
    ]


def reports(service: Service, connections: int) -> Measure:
    """Returns a measure that also checks that every acknowledged report is counted."""
    posts = load(
        "CSP reports",
        service.url + PATH,
        lambda: requests.reports(service.token),
        connections=connections,
    )

    def run(seconds: int) -> Figures:
        with service.connect() as connection:
            before = counted(connection)
            found = posts.run(seconds)
            stored = counted(connection) - before
        if stored < found["requests"] - found["errors"]:
            raise BenchError(f"Only {stored} of {found['requests']:.0f} reports are stored.")
        return found

    return Measure(posts.name, run)


def counted(connection: rows.Connection) -> int:
    """Returns the number of reports.

    The statement that counts reports also stores them, but only a sample of large groups. The load
    is one caller, which opens more groups than it may, so some reports are in the group "other".
    """
    row = connection.execute("SELECT coalesce(sum(reports), 0) FROM csp_grouphour").fetchone()
    return int(row[0]) if row else 0


def inserts(service: Service) -> Measure:
    """Returns a measure that inserts a stored report again and again, in one of 500 groups."""
    service.post(PATH, requests.one_report())
    with service.connect() as connection:
        insert = rows.insert_of(
            connection,
            TABLE,
            rows.copy_of(connection, TABLE),
            newest="received_at",
            group_id="lpad(:group::text, 32, '0')::uuid",
        )
    script = f"\\set group random(1, {requests.GROUPS})\n{insert}"
    return transactions("pgbench", service, script, clients=CONNECTIONS)
