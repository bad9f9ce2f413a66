"""Sends CSP reports to a real server, and counts the acknowledged ones."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

import psycopg

from tests.support.csp.reports import PATH, legacy
from tests.support.processes import DEADLINE_SECONDS, wait_for

SENDERS = 8
# The number of reports of a group in an hour that are all stored as rows.
STORED_PER_HOUR = 1_000
ENOUGH = 400


@dataclass(slots=True)
class Load:
    """Threads that send reports until they are stopped, and count the acknowledged ones."""

    port: int
    sent: int = 0
    acknowledged: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._send, args=[n]) for n in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        body = json.dumps(legacy(blocked_uri=f"https://host{number}.example.net/"))
        while not self._stop.is_set():
            status = 0
            with suppress(OSError, HTTPException):
                status = post(self.port, body)
            with self._lock:
                self.sent += 1
                self.acknowledged += status == 200

    def go_on(self, more: int = ENOUGH) -> None:
        """Returns when `more` further reports are acknowledged."""
        goal = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= goal)


def post(port: int, body: str) -> int:
    """Returns the status of the answer to a report."""
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
    try:
        connection.request("POST", PATH, body)
        return connection.getresponse().status
    finally:
        connection.close()


def assert_counts_agree(connection: psycopg.Connection[Any], load: Load) -> None:
    """Asserts that no acknowledged report is lost or counted twice, and that all counts agree.

    A report whose answer was lost may be stored too, so counts may be larger, up to the number of
    sent reports. After the thousandth report of a group in an hour, rows are a sample.
    """
    rows, groups, hours = connection.execute(
        "SELECT (SELECT count(*) FROM csp_report), (SELECT sum(reports) FROM csp_group), "
        "(SELECT sum(reports) FROM csp_grouphour)"
    ).fetchone() or (0, 0, 0)
    assert groups == hours
    assert load.acknowledged <= groups <= load.sent
    assert rows == groups or max_in_an_hour(connection) > STORED_PER_HOUR
    assert rows <= groups


def max_in_an_hour(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT max(reports) FROM csp_grouphour").fetchone()
    return int(row[0]) if row else 0
