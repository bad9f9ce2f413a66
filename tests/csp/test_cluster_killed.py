"""PostgreSQL itself is killed, as by a power cut, while reports come in."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from kernel import postgres
from kernel.postgres.cluster import running
from kernel.postgres.place import prepared
from tests.support.csp_load import Load, assert_counts_agree
from tests.support.live import Server
from tests.support.processes import wait_for


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: as root, PostgreSQL's account cannot enter pytest's own directory.
    with tempfile.TemporaryDirectory(prefix="coderapi-tests-") as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture
def cluster(data_dir: Path) -> Iterator[postgres.Handle]:
    handle = postgres.acquire(data_dir)
    yield handle
    handle.release()


@pytest.fixture
def server(cluster: postgres.Handle, tmp_path: Path) -> Iterator[Server]:
    started = Server(
        "--web-only",
        log=tmp_path / "log",
        DATABASE_URL=cluster.url,
        CODERAPI_DATA_DIR=str(tmp_path),
        CODERAPI_SECRET_KEY="only-for-tests-" + "0123456789" * 4,
        CODERAPI_WEB_WORKERS="2",
        CODERAPI_CSP_ACCESS="public",
        CODER_API_RATE_LIMIT="-1",
    )
    try:
        assert started.port
        yield started
    finally:
        started.kill_all()


def test_no_acknowledged_report_is_lost_when_postgresql_is_killed(
    server: Server, cluster: postgres.Handle, data_dir: Path
) -> None:
    with Load(server.port) as load:
        for _ in range(2):
            load.go_on(200)
            kill(data_dir)
            wait_for(lambda: cluster.revive() == "revived")
        load.go_on(200)
    with psycopg.connect(cluster.url) as reader:
        assert_counts_agree(reader, load)


def kill(data_dir: Path) -> None:
    """Ends PostgreSQL, which can write nothing more then."""
    found = running(prepared(data_dir).cluster)
    assert found
    os.kill(found.pid, signal.SIGKILL)
    wait_for(lambda: running(prepared(data_dir).cluster) is None)
