"""A real server whose processes and connections are killed under load."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psycopg
import pytest

from tests.csp_reports import PATH, legacy
from tests.live import Server
from tests.processes import own_database, wait_for

SENDERS = 8
ENOUGH = 400


@pytest.fixture
def database() -> Iterator[str]:
    with own_database() as url:
        yield url


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[Server]:
    running = Server(
        "--web-only",
        log=tmp_path / "log",
        DATABASE_URL=database,
        CODERAPI_DATA_DIR=str(tmp_path),
        CODERAPI_WEB_WORKERS="2",
        CODERAPI_CSP_ACCESS="public",
        CODER_API_RATE_LIMIT="-1",
    )
    try:
        assert running.port
        yield running
    finally:
        running.kill_all()


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
                status = self._post(body)
            with self._lock:
                self.sent += 1
                self.acknowledged += status == 200

    def _post(self, body: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", PATH, body)
            return connection.getresponse().status
        finally:
            connection.close()

    def go_on(self, more: int = ENOUGH) -> None:
        """Returns when so many more were acknowledged."""
        goal = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= goal, seconds=60)


def test_no_acknowledged_report_is_lost_whatever_is_killed(server: Server, database: str) -> None:
    with Load(server.port) as load, psycopg.connect(database, autocommit=True) as watcher:
        load.go_on()
        for _ in range(2):
            os.kill(min(server.web_workers()), signal.SIGKILL)
            load.go_on()
            watcher.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            load.go_on()
    with psycopg.connect(database) as reader:
        rows, groups, hours = reader.execute(
            "SELECT (SELECT count(*) FROM csp_report), (SELECT sum(count) FROM csp_group), "
            "(SELECT sum(count) FROM csp_hourcount)"
        ).fetchone() or (0, 0, 0)
    assert groups == hours
    assert load.acknowledged <= groups <= load.sent
    assert min(rows, 1) == 1
    assert rows <= groups
