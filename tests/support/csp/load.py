"""Sends CSP reports to a real server, and counts the acknowledged ones."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPException
from typing import Any

import psycopg

from tests.support.concurrency import Senders
from tests.support.csp.reports import PATH, as_bytes, legacy
from tests.support.servers.live import send

SENDERS = 8
# The number of reports of a group in an hour that are all stored as rows.
STORED_PER_HOUR = 1_000


def load(port: int) -> Senders:
    """Returns threads that send reports, each of a host of its own."""

    def send_report(number: int) -> bool:
        with suppress(OSError, HTTPException):
            return post(port, legacy(blocked_uri=f"https://host{number}.example.net/")) == 200
        return False

    return Senders(SENDERS, send_report)


def post(port: int, report: object) -> int:
    """Returns the status of the answer to a report."""
    return send(port, PATH, method="POST", body=as_bytes(report)).status


def assert_counts_agree(connection: psycopg.Connection[Any], senders: Senders) -> None:
    """Asserts that no acknowledged report is lost or counted twice, and that all counts agree.

    A report whose answer was lost may be stored too, so counts may be larger, up to the number of
    sent reports. After the thousandth report of a group in an hour, rows are a sample.
    """
    rows, groups, hours = connection.execute(
        "SELECT (SELECT count(*) FROM csp_report), (SELECT sum(reports) FROM csp_group), "
        "(SELECT sum(reports) FROM csp_grouphour)"
    ).fetchone() or (0, 0, 0)
    assert groups == hours
    assert senders.acknowledged <= groups <= senders.sent
    assert rows == groups or max_in_an_hour(connection) > STORED_PER_HOUR
    assert rows <= groups


def max_in_an_hour(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT max(reports) FROM csp_grouphour").fetchone()
    return int(row[0]) if row else 0
