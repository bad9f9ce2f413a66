"""Log lines: their filters, outputs and forms, what is redacted, and repeated lines."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest
from django.db import IntegrityError, transaction

from kernel.telemetry import logs
from kernel.telemetry.logs import MAX_CAUSES, RepeatFilter
from tests.support.commands import execute
from tests.support.factories import make_user
from tests.support.processes import PROJECT, database_name
from tests.support.servers.live import own_server
from users.models import User


def record(name: str = "x", level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    found = logging.LogRecord(name, level, "p", 1, "said %s", ("so",), None)
    found.__dict__.update(extra)
    logs.RequestFilter().filter(found)
    return found


@pytest.mark.parametrize(
    ("patterns", "name", "level", "passes"),
    [
        ([], "a", logging.INFO, True),
        ([], "a", logging.DEBUG, False),
        ([".*"], "a", logging.DEBUG, True),
        (["^kernel[.]"], "kernel.db.listener", logging.DEBUG, True),
        (["^kernel[.]"], "urllib3", logging.DEBUG, False),
        (["^kernel[.]"], "urllib3", logging.WARNING, True),
        (["x", "urllib"], "urllib3", logging.DEBUG, True),
    ],
)
def test_debug_lines_pass_by_the_logger_s_name(
    patterns: list[str], name: str, level: int, passes: bool
) -> None:
    assert logs.ChatterFilter(patterns).filter(record(name, level)) is passes


def formatter(name: str) -> logging.Formatter:
    made = logs.configuration(human="/h", json="/j", stackdriver="/s", chatter=())["formatters"]
    settings = dict(made[name])
    kinds = {"json": logs.MachineFormatter, "stackdriver": logs.StackdriverFormatter}
    del settings["()"]
    return kinds.get(name, logs.HumanFormatter)(settings.pop("format", None), **settings)


def test_message_cannot_forge_another_line() -> None:
    hostile = record(level=logging.WARNING)
    hostile.msg = "a\nFAKE \x1b[31mb"
    assert logs.HumanFormatter().format(hostile).endswith("x: a\\x0aFAKE \\x1b[31mb")


def test_json_line_has_level_time_and_extras() -> None:
    line = json.loads(formatter("json").format(record(level=logging.WARNING, count=3)))
    assert line.pop("ts").endswith("+00:00")
    wanted = {"level": "WARNING", "logger_name": "x", "message": "said so", "count": 3}
    assert line.items() >= wanted.items()


def test_stackdriver_line_has_severity_and_the_traceback_in_the_message() -> None:
    try:
        raise ValueError("reason")
    except ValueError:
        found = record(level=logging.ERROR, exc_info=sys.exc_info())
    line = json.loads(formatter("stackdriver").format(found))
    assert line["severity"] == "ERROR"
    assert line["message"].startswith("said so\nTraceback")
    assert line["message"].endswith("ValueError: reason")
    assert "exc_info" not in line


TOKEN = "abcdefghij-0123456789abcdefghijkl"


AROUND = ("/x_{}", "/a%253D{}", "coder_session_token%3D{}", "/p;token={}x", "{}_a", "{}é", "{0}{0}")
ID = "bcbdef06-1ac2-475c-b242-acf849b2e8a1"


@pytest.mark.parametrize(
    "text", [*AROUND, f"x_{ID}", f"{ID}-{ID}", f"00-{'0af' * 11}-{'b7' * 8}-01"]
)
def test_tokens_are_redacted_between_any_characters_and_ids_are_not(text: str) -> None:
    assert logs.scrub(text.format(TOKEN)) == text.format("abcdefghij-***")


@pytest.fixture
def redacting() -> Iterator[None]:
    logs.redact(["word", "longer-secret"])
    yield
    logs.redact([])


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["human", "json", "stackdriver"])
def test_rows_in_errors_of_postgresql_are_not_logged(name: str) -> None:
    user = make_user()
    values = {"name": "planted\n\nmarker-2", "roles": ["planted"]}
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(**values)
    except IntegrityError:
        line = formatter(name).format(record(exc_info=sys.exc_info()))
    assert "violates check constraint" in line
    assert "The above exception was the direct cause" in line
    assert "planted" not in line
    assert "marker-2" not in line


@pytest.mark.usefixtures("redacting")
def test_short_secrets_are_not_redacted() -> None:
    assert logs.scrub("a word and a longer-secret") == "a word and a ***"


def test_malformed_urls_are_scrubbed_quickly() -> None:
    """Any client can send such a path, and the access log scrubs it."""

    def seconds(unit: str) -> float:
        times = []
        for _ in range(5):
            started = time.thread_time()
            logs.scrub("@" + unit * 500)
            times.append(time.thread_time() - started)
        return min(times)

    assert seconds("a://:a/") < 20 * seconds("a/b:c/d")


@pytest.mark.usefixtures("redacting")
@pytest.mark.parametrize("name", ["human", "json", "stackdriver"])
def test_traceback_and_extras_are_redacted_in_every_log(name: str) -> None:
    secrets = ("longer-secret", "https://me:password-here@h", TOKEN)
    try:
        raise ValueError(" and ".join(secrets))
    except ValueError:
        found = record(exc_info=sys.exc_info(), extra={"inner": list(secrets), "text": TOKEN})
    found.msg = secrets[0]
    logs.RequestFilter().filter(found)
    line = formatter(name).format(found)
    assert "Traceback" in line
    for secret in ("longer-secret", "password-here", TOKEN.partition("-")[2]):
        assert secret not in line


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
