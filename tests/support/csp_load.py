"""Load of CSP reports on a real server, with a count of what it has acknowledged."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

import psycopg

from tests.support.csp_reports import PATH, legacy
from tests.support.processes import wait_for

SENDERS = 8
# Up to so many reports of a group in an hour each is kept as a row.
KEPT_AN_HOUR = 1_000
ENOUGH = 400


@dataclass(slots=True)
class Load:
    """Browsers that report until they are told to stop, and count what was acknowledged."""

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
        """Returns when so many more were acknowledged."""
        goal = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= goal, seconds=60)


def post(port: int, body: str) -> int:
    """The status that a report is answered with."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", PATH, body)
        return connection.getresponse().status
    finally:
        connection.close()


def assert_counts_agree(connection: psycopg.Connection[Any], load: Load) -> None:
    """Whether nothing acknowledged is lost or counted twice, and every count tells the same.

    What was written while its answer got lost is there as well, at most once: so no more was
    counted than sent. From a group's thousandth report of an hour on, rows are a sample.
    """
    rows, groups, hours = connection.execute(
        "SELECT (SELECT count(*) FROM csp_report), (SELECT sum(count) FROM csp_group), "
        "(SELECT sum(count) FROM csp_hourcount)"
    ).fetchone() or (0, 0, 0)
    assert groups == hours
    assert load.acknowledged <= groups <= load.sent
    assert rows == groups or most_in_an_hour(connection) > KEPT_AN_HOUR
    assert rows <= groups


def most_in_an_hour(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT max(count) FROM csp_hourcount").fetchone()
    return int(row[0]) if row else 0
