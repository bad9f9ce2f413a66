"""The service under test, which faults start, kill and stop as an init system does."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

from bench.load import BenchError
from bench.service import MARK, free_port, launched, marked, server_environment, status_of

READY_SECONDS = 90
END_SECONDS = 40
MAX_REFUSAL_LINES = 4
# Parts of the command lines of the service's processes.
SUPERVISOR, WEB = "manage.py", "coderapi: web"
JOBS, METRICS = "coderapi: jobs", "coderapi: metrics"
CRASHES = re.compile(r"^Traceback \(most recent call last\)|panicked at", re.MULTILINE)
# The parts in which lines of the same kind differ: the time, the request id, and numbers.
STAMP = re.compile(
    r"^\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?\s*| ?request_id=\S+| \(\d+\)"
)


# Starts a Python program with a socket, as systemd does.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Service:
    """`coderapi server` with web workers, jobs and metrics, and its log."""

    def __init__(self, directory: Path, *, database_url: str, data_dir: Path | None = None) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.data_dir = data_dir or directory / "own"
        self.log = directory / "service.log"
        self.mark = uuid.uuid4().hex
        self.environment = {
            **server_environment(database_url, self.data_dir),
            "CODERAPI_CSP_ALLOWED_SENDERS": "public",
            "CODER_PG_CONN_MAX_OPEN": "16",
            "CODER_PROMETHEUS_ENABLE": "true",
            "CODER_PROMETHEUS_ADDRESS": f"127.0.0.1:{self.metrics_port}",
        }
        # The port that clients use.
        self.client_port = self.port
        # The socket that systemd would open for the service, if any.
        self.listening: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def start(self) -> None:
        """Starts the service without waiting for an answer."""
        command = ["manage.py", "server", "--http-address", f"127.0.0.1:{self.port}"]
        if self.listening:
            command = ["-c", AS_SYSTEMD, str(self.listening.fileno()), *command]
        self._process = launched(command, {**self.environment, MARK: self.mark}, self.log)

    def listen(self) -> None:
        """Opens the socket of the service, as systemd does for a socket unit."""
        self.listening = socket.create_server(("127.0.0.1", self.port), backlog=2048)
        self.listening.set_inheritable(True)

    def start_and_wait(self) -> None:
        self.start()
        self.wait_until_ready()
        if not self.token:
            shown = (self.data_dir / "first-owner.txt").read_text(encoding="utf-8")
            self.token = shown.split("session token")[1].split()[0]

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise BenchError(f"The service does not start:\n{self.log_tail()}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        return status_of(self.port, "/readyz") == 200

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def processes(self, having: str = "") -> list[int]:
        """Returns the running processes that have the text in their command line."""
        return sorted(pid for pid, command in marked(self.mark) if having in command)

    def kill_one(self, having: str) -> None:
        """Kills one of these processes, as the kernel does when memory runs out."""
        found = self.processes(having)
        if not found:
            raise BenchError(f"There is no process with {having!r} in its command line.")
        with suppress(ProcessLookupError):
            os.kill(found[-1], signal.SIGKILL)
        if self._process is not None and found[-1] == self._process.pid:
            self._process.wait(END_SECONDS)

    def kill_all(self) -> None:
        while pids := self.processes():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            if self._process is not None:
                self._process.poll()

    def end(self) -> int | None:
        """Sends SIGTERM. Returns the exit status, or None if it had to be killed."""
        self.terminate()
        return self.wait()

    def terminate(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = END_SECONDS) -> int | None:
        """Waits for the end. Returns the exit status, or None if it had to be killed."""
        try:
            return self._process.wait(seconds) if self._process else None
        except subprocess.TimeoutExpired:
            self.kill_all()
            return None

    def log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def logged_since(self, offset: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as stream:
            stream.seek(offset)
            return stream.read().decode(errors="replace")

    def log_tail(self) -> str:
        return "\n".join(self.logged_since(0).splitlines()[-15:])


def unclear(output: str, status: int) -> list[str]:
    """Returns the problems of a program's error message."""
    problems: list[str] = []
    if status <= 0:
        problems.append(f"exit status {status} instead of an error")
    if crashes := crash_problems(output):
        return problems + crashes
    if (lines := len(output.strip().splitlines())) > MAX_REFUSAL_LINES:
        problems.append(f"{lines} lines instead of a sentence: {output.strip()[-300:]}")
    return problems


def crash_problems(log: str) -> list[str]:
    """Returns the number of tracebacks and panics in a log, with their last lines, or nothing."""
    count = len(CRASHES.findall(log))
    if not count:
        return []
    causes: list[str] = []
    for part in re.split(r"^Traceback .*$", log, flags=re.MULTILINE)[1:]:
        ends = (line for line in part.splitlines() if line and not line.startswith(" "))
        causes.append(next(ends, "")[:200])
    causes += (STAMP.sub("", line) for line in re.findall(r".*panicked at.*", log))
    return [f"{count} tracebacks in the log: {'; '.join(list(dict.fromkeys(causes))[:5])}"]


def frequent_lines(log: str) -> dict[str, int]:
    """Returns the most frequent lines of the log, without their times, and their counts."""
    lines = (STAMP.sub("", line)[:200] for line in log.splitlines() if not line.startswith(" "))
    return dict(Counter(line for line in lines if line).most_common(12))
