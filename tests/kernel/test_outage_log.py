"""An outage of the database logs a few lines with the reason, whatever the number of requests."""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from kernel.telemetry.logs import MAX_CAUSES, RepeatFilter
from tests.support.commands import execute
from tests.support.live import own_server
from tests.support.processes import PROJECT, database_name, wait_for

REQUESTS = 150
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("tests.repeats")
    repeats = RepeatFilter(first=0.2, longest=0.4)
    found.addFilter(repeats)
    yield found
    found.removeFilter(repeats)
    repeats.forget()


def test_repeated_lines_are_counted(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in range(500):
        logger.warning("no answer after %d s: %s", seconds, "refused")
    logger.warning("no answer: shut down")
    wait_for(lambda: len(caplog.messages) == 3)
    assert caplog.messages == [
        "no answer after 0 s: refused",
        "no answer: shut down",
        "no answer after 0 s: refused (499 more in 0 s)",
    ]
    logger.warning("no answer after 1 s: refused")
    wait_for(lambda: caplog.messages[3:] == ["no answer after 0 s: refused (1 more in 0 s)"])


def test_causes_are_bounded(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3 * MAX_CAUSES):
        logger.warning("unknown: %s", chr(0x1000 + number))
    assert len(caplog.messages) == MAX_CAUSES + 1


def test_line_of_a_parent_is_logged_by_its_child_again() -> None:
    code = """
import logging, os
from kernel.telemetry.logs import REPEATS
logging.basicConfig(format="%(message)s")
logger = logging.getLogger("repeats")
logger.addFilter(REPEATS)
logger.warning("refused")
if os.fork():
    os.wait()
else:
    logger.warning("refused")
"""
    done = execute([sys.executable, "-W", "ignore", "-c", code], cwd=PROJECT)
    assert done.stderr.splitlines() == ["refused", "refused"]


def test_outage_logs_its_reason_once(tmp_path: Path) -> None:
    with (
        own_server(log=tmp_path / "log", CODERAPI_FIRST_OWNER_USERNAME="owner") as server,
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database,
        ThreadPoolExecutor(10) as clients,
    ):
        token, begun = server.owner_token, len(server.log.read_text())
        name = database_name(server.database)
        database.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
        database.execute(TERMINATE, [name])

        def status(_: int) -> int:
            return server.ask("/api/v2/users", token=token).status

        assert set(clients.map(status, range(REQUESTS))) == {503}
        logged = server.log.read_text()[begun:]
    assert "is not currently accepting connections" in logged
    assert "discarding" not in logged
    # The web process and the process of the jobs, with a few lines each.
    lines = Counter(line.partition("[")[2] for line in logged.splitlines())
    assert sum(lines.values()) <= 20, lines
