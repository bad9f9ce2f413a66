"""A pytest plugin: the tests' database server, and an environment without the developer's settings.

The server is a private PostgreSQL in a temporary directory, held by a process of its own that ends
with pytest, however pytest ends. `PG=system` takes the machine's programs instead of the wheel's;
CODERAPI_TEST_DATABASE_URL names a server to use instead.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import pytest

from kernel import postgres

NAMED_SERVER = "CODERAPI_TEST_DATABASE_URL"
# With a key of its own, no run counts requests or hashes passwords in turn with another one.
SECRET_KEY = f"only-for-tests-{secrets.token_hex(25)}"
FOREIGN = re.compile(r"CODER_|CODERAPI_|CACHE_URL|DATABASE_URL|PG[A-Z]")
ROOT = Path(__file__).resolve().parents[2]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Runs before pytest-django loads the settings, which read what is set here."""
    # The workers of pytest-xdist inherit the environment, and with it the server.
    if "PYTEST_XDIST_WORKER" not in os.environ:
        url = os.environ.get(NAMED_SERVER) or _throw_away_server(early_config)
        for name in filter(FOREIGN.match, list(os.environ)):
            del os.environ[name]
        os.environ.update(DATABASE_URL=url, CODERAPI_SECRET_KEY=SECRET_KEY)
        # No server that a test starts asks the network.
        os.environ["CODER_UPDATE_CHECK"] = "false"
    return (yield)


def _throw_away_server(config: pytest.Config) -> str:
    """The URL of a server that runs until pytest has ended."""
    # In a session of its own, so that Ctrl-C ends the tests first. It ends when its input does.
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.database"],
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


def _end(keeper: subprocess.Popen[str]) -> None:
    keeper.communicate()


def _keep_until_input_ends() -> None:
    only: Literal["system"] | None = "system" if os.environ.get("PG") == "system" else None
    with tempfile.TemporaryDirectory(prefix="coderapi-tests-") as directory:
        handle = postgres.acquire(Path(directory), only=only, durable=False)
        try:
            sys.stdout.write(f"{handle.url}\n")
            sys.stdout.flush()
            sys.stdin.read()
        finally:
            handle.release()


if __name__ == "__main__":
    try:
        _keep_until_input_ends()
    except postgres.PostgresError as error:
        sys.stdout.write(" ".join(str(error).split()))
