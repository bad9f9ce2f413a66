"""Starts the service under test, its commands and its references, and measures their memory."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import rows
from bench.load import BenchError, Figures, output
from tests.support.databases.clusters import acquire_as_superuser

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 35
POLL_SECONDS = 0.005
WORKERS = 2
# The default of CODERAPI_WEB_THREADS. A reference has the same number of threads.
THREADS = 8
# A worker has at most half as many connections as threads.
POOL_SIZE = THREADS // 2
TOKEN_HEADER = "Coder-Session-Token"  # noqa: S105 - a name
# A variable that marks all processes of one service. Children inherit it.
MARK = "BENCH_MARK"
_ROLE = re.compile(r"coderapi: \S+|resource_tracker|spawn_main|server\.\w+|manage\.py \w+")
SUPERVISOR = "manage.py server"


@dataclass(frozen=True, slots=True)
class Service:
    """A running `coderapi server`, and its database."""

    url: str
    database_url: str
    binaries: Path
    directory: Path
    mark: str
    token: str = rows.OWNER_TOKEN

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.database_url, autocommit=True)

    def request(
        self, method: str, path: str, body: str | None = None, **headers: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Returns the status, the headers and the body of the response."""
        host = self.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
            connection.request(method, path, body, {TOKEN_HEADER: self.token, **headers})
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def post(self, path: str, body: str) -> None:
        """Sends JSON. Raises: BenchError if the service rejects it."""
        status, _, answer = self.request("POST", path, body, **{"Content-Type": "application/json"})
        if status >= 300:
            raise BenchError(f"{path}: {status} {answer[:200]!r}")

    def command(self, *arguments: str, **environment: str) -> float:
        """Runs a management command. Returns its duration in seconds."""
        settings = server_environment(self.database_url, self.directory) | environment
        return run_program(["manage.py", *arguments], settings)

    def memory(self) -> Figures:
        """Returns the memory (PSS) of each kind of process, and their sum as `pss_mib`."""
        return memory_of(self.mark)


@contextmanager
def running(*, readers: int = 0, users: int = 0, **environment: str) -> Iterator[Service]:
    """Starts the service with a database of its own, and ends both after the block.

    The database has an owner, users with keys (`bench.rows`), and one snapshot.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coderapi-bench-")))
        handle = acquire_as_superuser(directory)
        stack.callback(handle.release)
        found = stack.enter_context(
            serving(handle.url, directory, handle.programs.directory, **environment)
        )
        with found.connect() as connection:
            rows.make_people(connection, users=users, readers=readers)
        found.command("collect_deployment_stats")
        yield found


@contextmanager
def beside(service: Service, **environment: str) -> Iterator[Service]:
    """Starts another server with other settings on the same database."""
    with serving(service.database_url, service.directory, service.binaries, **environment) as found:
        yield found


@contextmanager
def serving(
    database_url: str, directory: Path, binaries: Path, **environment: str
) -> Iterator[Service]:
    port, mark = free_port(), uuid.uuid4().hex
    command = ["manage.py", "server", "--web-only", "--http-address", f"127.0.0.1:{port}"]
    settings = server_environment(database_url, directory) | environment | {MARK: mark}
    log = directory / f"{mark}.log"
    with process(command, settings, port=port, log=log):
        yield Service(f"http://127.0.0.1:{port}", database_url, binaries, directory, mark)


@contextmanager
def reference(
    name: str, answers: Mapping[str, object] | None = None, **environment: str
) -> Iterator[str]:
    """Starts a module of `bench.references`, and yields its URL.

    `answers` contains its response for each path.
    """
    port = free_port()
    command = ["-m", "bench.references", name, str(port)]
    with tempfile.TemporaryDirectory(prefix="coderapi-bench-") as directory:
        file, log = Path(directory) / "answers.json", Path(directory) / "log"
        file.write_text(json.dumps(answers or {}), encoding="utf-8")
        own = {"BENCH_ANSWERS": str(file), "BENCH_POOL": str(POOL_SIZE)}
        with process(command, os.environ | own | environment, port=port, log=log):
            yield f"http://127.0.0.1:{port}"


def server_environment(database_url: str, directory: Path) -> dict[str, str]:
    """Returns the settings of a server. Without a URL, it starts its private PostgreSQL."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("CODER", "DATABASE_URL"))}
    if database_url:
        secret_key = "only-for-measuring-" + "0123456789" * 4
        own |= {"DATABASE_URL": database_url, "CODERAPI_SECRET_KEY": secret_key}
    return {
        **own,
        "CODERAPI_DATA_DIR": str(directory),
        "CODERAPI_WEB_WORKERS": str(WORKERS),
        "CODERAPI_FIRST_OWNER_USERNAME": "owner",
        "CODER_API_RATE_LIMIT": "-1",
        "CODER_UPDATE_CHECK": "false",
    }


@contextmanager
def process(
    command: list[str], environment: Mapping[str, str], *, port: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts an HTTP server with Python, and waits until it responds on the port."""
    started = launched(command, environment, log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not status_of(port, "/healthz"):
            if started.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace").strip()
                raise BenchError(f"{' '.join(command)[:80]} does not respond: {text[-500:]}")
            time.sleep(POLL_SECONDS)
        yield started
    finally:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)


def launched(
    command: list[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Starts Python in a session of its own, with its output in the log."""
    with log.open("ab") as stream:
        return subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *command],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            # Python's descriptors are not inheritable, except those that the caller made so.
            close_fds=False,
        )


def status_of(port: int, path: str) -> int:
    """Returns the status of a response, or 0 if there is none."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            return connection.getresponse().status
        return 0


def run_program(arguments: list[str], environment: Mapping[str, str]) -> float:
    """Runs Python with these arguments to its end. Returns the duration in seconds."""
    begun = time.perf_counter()
    output([sys.executable, *arguments], cwd=PROJECT, env=environment)
    return time.perf_counter() - begun


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_of(mark: str) -> Figures:
    """Returns the memory (PSS) of the marked processes besides PostgreSQL. Units: MiB."""
    found: Counter[str] = Counter()
    for pid, command in marked(mark):
        with suppress(FileNotFoundError, ProcessLookupError):
            found[role_of(command)] += kibibytes(Path(f"/proc/{pid}/smaps_rollup").read_text())
    found.pop("postgres", None)
    sizes = {name: kib / 1024 for name, kib in found.items()}
    return {**sizes, "pss_mib": sum(sizes.values())}


def marked(mark: str) -> Iterator[tuple[int, str]]:
    """Yields the running processes of a service, and their command lines."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # It is not a process, or it has ended.
            environment = (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
            if f"{MARK}={mark}".encode() in environment and command.strip():
                yield int(entry.name), command.strip()


def role_of(command: str) -> str:
    """Returns a short name for a command line."""
    program = command.split()[0].rpartition("/")[2]
    if program.startswith("postgres"):
        return "postgres"
    if SUPERVISOR in command:
        return "supervisor"
    known = _ROLE.search(command)
    return known[0] if known else program


def kibibytes(rollup: str) -> int:
    """Returns the PSS in the text of /proc/PID/smaps_rollup."""
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
