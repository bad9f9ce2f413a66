"""An outage of the database logs a few lines with the reason, whatever the number of requests."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from kernel.telemetry.logs import MAX_CAUSES, RepeatFilter
from tests.support.commands import execute
from tests.support.processes import PROJECT, database_name
from tests.support.servers.live import own_server

REQUESTS = 150
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


class Timer(threading.Timer):
    """A timer that a test ends."""

    started: ClassVar[list[Timer]] = []

    def start(self) -> None:
        self.started.append(self)

    @classmethod
    def end_next(cls) -> float:
        """Ends the interval that began first. Returns its length."""
        first = cls.started.pop(0)
        first.function(*first.args, **first.kwargs)
        return first.interval


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("tests.repeats")
    repeats = RepeatFilter(first=10, longest=30, timer=Timer)
    found.addFilter(repeats)
    yield found
    found.removeFilter(repeats)
    Timer.started.clear()


def test_repeated_lines_are_counted(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for seconds in range(500):
        logger.warning("no answer after %d s: %s", seconds, "refused")
    logger.warning("no answer: shut down")
    first, other = "no answer after 0 s: refused", "no answer: shut down"
    assert caplog.messages == [first, other]
    # The other line is not repeated in its interval.
    assert [Timer.end_next(), Timer.end_next()] == [10, 10]
    for _ in range(3):
        logger.warning("no answer after 1 s: refused")
    assert caplog.messages == [first, other, f"{first} (499 more in 10 s)"]
    assert Timer.end_next() == 20
    logger.warning("no answer after 1 s: refused")
    assert Timer.end_next() == 30
    assert Timer.end_next() == 30
    assert caplog.messages[3:] == [f"{first} (3 more in 20 s)", f"{first} (1 more in 30 s)"]
    # After an interval without a repetition, the line is logged again.
    logger.warning("no answer after 1 s: refused")
    assert caplog.messages[5:] == ["no answer after 1 s: refused"]


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
