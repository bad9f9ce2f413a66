"""`manage.py postgres`, as a process of its own beside the tests' settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


type Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(open_directory: Path) -> Iterator[Start]:
    """Starts the command on the data directory; what a failed test leaves running is ended."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, ROOT / "manage.py", "postgres", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"CODERAPI_DATA_DIR": str(open_directory)},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def test_served_database_answers_until_sigterm(start: Start) -> None:
    before = ended(start("url"))
    assert before.returncode == 1
    assert "is empty. `manage.py server` or `manage.py migrate` makes one there" in before.stderr

    server = start("serve")
    assert server.stdout
    assert "is ready in" in server.stdout.readline()
    running = ended(start("url"))
    assert running.stdout.startswith("postgresql://coderapi:")
    assert not running.stderr
    selected = ended(start("psql", "-Atc", "SELECT current_database()"))
    assert selected.stdout == "coderapi\n"

    server.send_signal(signal.SIGTERM)
    served = ended(server)
    assert served.returncode == 0
    assert "the last one to leave stops it" in served.stdout
    after = ended(start("url"))
    assert after.stdout == running.stdout
    assert "It is not running" in after.stderr
    assert ended(start("stop")).stdout == "It was not running.\n"
    assert "Nothing to do" in ended(start("upgrade")).stdout


def test_stop_ends_those_who_serve(start: Start) -> None:
    server = start("serve")
    assert server.stdout
    assert "is ready in" in server.stdout.readline()

    stopped = ended(start("stop"))

    assert stopped.stdout == "Stopped.\n"
    if Path("/proc/locks").exists():
        assert f"in use by {server.pid} (" in stopped.stderr
    served = ended(server)
    assert served.returncode == 0
    assert "Somebody else stopped it." in served.stdout


def test_failed_query_is_a_failed_command(start: Start) -> None:
    failed = ended(start("psql", "-c", "SELEC"))
    assert failed.returncode == 1
    assert "syntax error" in failed.stderr


def test_arguments_are_for_psql_alone(start: Start) -> None:
    refused = ended(start("stop", "now"))
    assert refused.returncode == 2
    assert "stop takes no arguments, and got now." in refused.stderr


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
