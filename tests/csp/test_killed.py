"""A real server whose processes and connections are killed under load."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.csp_load import Load, assert_counts_agree
from tests.support.live import Server
from tests.support.processes import own_database


@pytest.fixture
def database() -> Iterator[str]:
    with own_database() as url:
        yield url


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[Server]:
    with Server(
        "--web-only",
        log=tmp_path / "log",
        DATABASE_URL=database,
        CODERAPI_WEB_WORKERS="2",
        CODERAPI_CSP_ACCESS="public",
        CODER_API_RATE_LIMIT="-1",
    ) as running:
        yield running


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
        assert_counts_agree(reader, load)
