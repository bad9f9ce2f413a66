"""The service under test on a private database, and the bare reference beside it."""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import static_view
from bench.load import BenchError
from kernel import postgres

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
WORKERS = 2
THREADS = 64
# More than a process remembers, so that each key of a round is new to it.
KEYS = 20_000
TOKENS = 10_000
SECRET = "a" * 22
TOKEN = f"{1:010}-{SECRET}"

# Copies of the first owner's key, so that every column has the service's own values.
MAKE_KEYS = """
INSERT INTO tokens_apikey SELECT made.* FROM
    (SELECT k AS pattern FROM tokens_apikey AS k LIMIT 1) AS found,
    generate_series(1, %(count)s) AS n,
    jsonb_populate_record(pattern::tokens_apikey, jsonb_build_object(
        'id', lpad(%(mark)s || n, 10, '0'), 'hashed_secret', %(digest)s::bytea,
        'token_name', CASE %(mark)s WHEN '' THEN '' ELSE %(mark)s || n END,
        'login_type', CASE %(mark)s WHEN '' THEN 'password' ELSE 'token' END,
        'last_used', now(), 'expires_at', now() + interval '1 day', 'lifetime_ns', 86400000000000
    )) AS made
"""


@dataclass(frozen=True, slots=True)
class Service:
    """The addresses of the service, of the reference, and of their database."""

    url: str
    reference_url: str
    static_url: str
    token: str
    database_url: str
    binaries: Path


@contextmanager
def running() -> Iterator[Service]:
    """Starts the service and its references, and ends them after the block."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coderapi-bench-")))
        handle = postgres.acquire(directory)
        stack.callback(handle.release)
        port, reference_port = free_port(), free_port()
        stack.enter_context(
            process(server_command(port), server_environment(handle.url, directory))
        )
        stack.enter_context(process(reference_command(reference_port), dict(os.environ)))
        for wanted in (port, reference_port):
            wait_for_answer(wanted)
        make_keys(handle.url)
        static_port = free_port()
        environment = {
            **server_environment(handle.url, directory),
            static_view.BYTES: str(config_bytes(port)),
        }
        command = reference_command(static_port, "bench.static_wsgi:application")
        stack.enter_context(process(command, environment))
        wait_for_answer(static_port)
        service = Service(
            static_url=f"http://127.0.0.1:{static_port}{static_view.PATH}",
            url=f"http://127.0.0.1:{port}",
            reference_url=f"http://127.0.0.1:{reference_port}/",
            token=TOKEN,
            database_url=handle.url,
            binaries=handle.programs.directory,
        )
        yield service


def server_command(port: int) -> list[str]:
    return ["manage.py", "server", "--web-only", "--http-address", f"127.0.0.1:{port}"]


def server_environment(database_url: str, directory: Path) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("CODER", "DATABASE_URL"))}
    return {
        **own,
        "DATABASE_URL": database_url,
        "CODERAPI_DATA_DIR": str(directory),
        "CODERAPI_SECRET_KEY": "only-for-measuring-" + "0123456789" * 4,
        "CODERAPI_WEB_WORKERS": str(WORKERS),
        "CODERAPI_WEB_THREADS": str(THREADS),
        "CODERAPI_FIRST_OWNER_USERNAME": "owner",
        "CODER_API_RATE_LIMIT": "-1",
        "CODER_PG_CONN_MAX_OPEN": "16",
        "CODER_UPDATE_CHECK": "false",
    }


def reference_command(port: int, application: str = "bench.reference:application") -> list[str]:
    return [
        *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(WORKERS), "--blocking-threads", str(THREADS), "--log-level", "error"),
        *("--http", "1", "--no-ws", application),
    ]


@contextmanager
def process(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    started = subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, *command], cwd=PROJECT, env=environment, start_new_session=True
    )
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(35)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_answer(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            connection.getresponse()
        except OSError:
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise BenchError(f"Nothing answers on port {port} after {START_SECONDS} s.")


def config_bytes(port: int) -> int:
    """Returns the size of the configuration that an owner gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            "GET", "/api/v2/deployment/config", headers={"Coder-Session-Token": TOKEN}
        )
        return len(connection.getresponse().read())
    finally:
        connection.close()


def make_keys(database_url: str) -> None:
    """Makes session keys for requests, and named tokens for lists."""
    digest = hashlib.sha256(SECRET.encode()).digest()
    with psycopg.connect(database_url) as connection:
        for mark, count in (("", KEYS), ("t", TOKENS)):
            connection.execute(MAKE_KEYS, {"digest": digest, "mark": mark, "count": count})
