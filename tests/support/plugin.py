"""A pytest plugin: the tests' database server, their clock, and an environment of their own.

The server is a private PostgreSQL in a temporary directory. A process of its own keeps it and ends
with pytest, however pytest ends. `PG=system` takes the machine's programs instead of the wheel's;
CODERAPI_TEST_DATABASE_URL names a server to use instead.

The server and all temporary files are in memory if there is room, and removed at the end.

With `--at TIME` the run begins at that time: pytest restarts itself with `clock.c` preloaded. Its
workers, PostgreSQL and the programs that tests start inherit this clock.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coderapi import postgres
from coderapi.postgres import account
from tests.support.databases.clusters import acquire_as_superuser, programs_of

NAMED_SERVER = "CODERAPI_TEST_DATABASE_URL"
# Two test runs must not share request counts or limiters, so each run has its own key.
SECRET_KEY = f"only-for-tests-{secrets.token_hex(25)}"
FOREIGN = re.compile(r"CODER_|CODERAPI_|DATABASE_URL|PG[A-Z]")
ROOT = Path(__file__).resolve().parents[2]
# On a disk, creating a file may take 40 times as long. A copy of a database has 700 files.
MEMORY = Path("/dev/shm")  # noqa: S108 - only to make a private directory there
NEEDED_BYTES = 4 << 30
SHIFT = "TESTS_CLOCK_SHIFT"
# PostgreSQL starts with its own environment, so add the variables of the clock.
if SHIFT in os.environ:
    account.ENVIRONMENT |= {name: os.environ[name] for name in ("LD_PRELOAD", SHIFT)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--at",
        type=datetime.fromisoformat,
        metavar="TIME",
        help="begin at this time, such as 2026-12-31T23:59:30Z; needs a C compiler",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Prepares the environment before pytest-django loads the settings, which read it."""
    # The workers of pytest-xdist inherit the environment, and with it the server and the clock.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        at = early_config.known_args_namespace.at
        if at is not None and SHIFT not in os.environ:
            _start_again(at)
        if at is not None:
            preloaded = Path(os.environ["LD_PRELOAD"]).parent
            early_config.add_cleanup(lambda: shutil.rmtree(preloaded))
        url = os.environ.get(NAMED_SERVER) or _throw_away_server(early_config)
        for name in filter(FOREIGN.match, list(os.environ)):
            del os.environ[name]
        os.environ.update(DATABASE_URL=url, CODERAPI_SECRET_KEY=SECRET_KEY)
        # Programs that tests start would compile the whole code again, each of them.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        # Servers that tests start must not use the network.
        os.environ["CODER_UPDATE_CHECK"] = "false"
    return (yield)


def _start_again(at: datetime) -> None:
    """Replaces this process by one with the same arguments and another clock."""
    compiler = shutil.which("cc")
    if not compiler:
        raise pytest.UsageError("--at needs a C compiler, and there is no program `cc`.")
    # PostgreSQL's account reads the library, too.
    directory = Path(tempfile.mkdtemp(prefix="coderapi-tests-clock-"))
    directory.chmod(0o755)
    library = directory / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    shift = round(at.timestamp() - datetime.now(UTC).timestamp())
    os.environ |= {"LD_PRELOAD": str(library), SHIFT: str(shift)}
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Says how to repeat the run: `--quiet` hides the header, which has the seed."""
    seed, at = config.getoption("randomly_seed", None), config.getoption("at")
    clock = f" --at {at.isoformat()}" if at else ""
    terminalreporter.write_line(f"This order again: --randomly-seed={seed}{clock}")


def _throw_away_server(config: pytest.Config) -> str:
    """Returns the URL of a server that runs until pytest has ended."""
    directory = tempfile.mkdtemp(prefix="coderapi-tests-", dir=MEMORY if _has_room() else None)
    # As open as /tmp, because PostgreSQL has another account.
    Path(directory).chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = directory
    # In a session of its own, so that Ctrl-C ends the tests first. It ends when its input does.
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.plugin", directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    config.add_cleanup(lambda: _end(keeper))
    assert keeper.stdout
    answer = keeper.stdout.readline().strip()
    if not answer.startswith("postgresql://"):
        raise pytest.UsageError(f"The tests' PostgreSQL does not start. {answer}")
    return answer


def _has_room() -> bool:
    """Returns whether the file system in memory may be used and has room for a run."""
    if not os.access(MEMORY, os.W_OK):
        return False
    found = os.statvfs(MEMORY)
    room = found.f_bavail * found.f_frsize
    return room >= NEEDED_BYTES and not found.f_flag & os.ST_NOEXEC


def _end(keeper: subprocess.Popen[str]) -> None:
    keeper.communicate()


def _keep_until_input_ends(directory: Path) -> None:
    programs = programs_of("system") if os.environ.get("PG") == "system" else None
    try:
        handle = acquire_as_superuser(directory / "server", programs=programs, durable=False)
        try:
            sys.stdout.write(f"{handle.url}\n")
            sys.stdout.flush()
            sys.stdin.read()
        finally:
            handle.release()
    finally:
        # Programs that tests have killed may leave files at any time.
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    try:
        _keep_until_input_ends(Path(sys.argv[1]))
    except postgres.PostgresError as error:
        sys.stdout.write(" ".join(str(error).split()))
