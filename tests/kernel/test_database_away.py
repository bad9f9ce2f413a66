"""The database goes away while requests come, and comes back: 503, then answers, no restart."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel import postgres
from tests.coderapi.test_page_samples import token_in
from tests.support.live import Server
from tests.support.processes import wait_for

TOKENCONFIG = "/api/v2/users/me/keys/tokens/tokenconfig"
REPORTS = "/api/v2/csp/reports"
REPORT = b'{"csp-report": {"blocked-uri": "https://evil.example.com/x.js"}}'


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that PostgreSQL's own account may enter, too."""
    with tempfile.TemporaryDirectory(prefix="coderapi-away-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def cluster(directory: Path) -> Iterator[postgres.Handle]:
    handle = postgres.acquire(directory / "data", durable=False)
    yield handle
    handle.release()


@pytest.fixture
def server(cluster: postgres.Handle, directory: Path) -> Iterator[Server]:
    running = Server(
        log=directory / "log",
        DATABASE_URL=cluster.url,
        CODERAPI_DATA_DIR=str(directory / "own"),
        CODERAPI_WEB_WORKERS="1",
        CODERAPI_FIRST_OWNER_USERNAME="owner",
        CODER_UPDATE_CHECK="false",
    )
    yield running
    running.kill_all()


def test_requests_are_503_while_it_is_away_and_answered_when_it_is_back(
    server: Server, cluster: postgres.Handle, directory: Path
) -> None:
    assert server.port
    token = token_in(directory / "own" / "first-owner.txt")
    for path in (TOKENCONFIG, "/api/v2/buildinfo"):
        assert server.ask(path, token=token).status == 200

    postgres.stop(directory / "data")

    for path, method, body in ((TOKENCONFIG, "GET", None), (REPORTS, "POST", REPORT)):
        away = server.ask(path, token=token, method=method, body=body)
        assert away.status == 503, away
        assert int(away.headers["retry-after"]) > 0
        assert set(json.loads(away.body)) <= {"message", "detail"}
    assert server.ask("/healthz").status == 200
    assert server.ask("/readyz").status == 503
    assert server.ask("/api/v2/buildinfo").status == 200

    back = postgres.acquire(directory / "data", durable=False)
    try:
        wait_for(lambda: server.ask(TOKENCONFIG, token=token).status == 200)
        wait_for(lambda: server.ask("/readyz").status == 200)
        posted = server.ask(REPORTS, token=token, method="POST", body=REPORT)
        assert (posted.status, posted.body) == (200, b'"ok"')
        assert "Traceback" not in server.log.read_text()
    finally:
        back.release()
