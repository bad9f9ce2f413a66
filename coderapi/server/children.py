"""The child processes of the supervisor, and the pipe between the supervisor and each child.

The supervisor writes the worker configuration to the pipe. The configuration contains secrets,
which other users could see in arguments and environment variables. The operating system closes the
pipe when the supervisor ends for any reason. Then the child ends too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import django

from coderapi.bootstrap import adopt_flags
from kernel.loops import Backoff, run_until_signalled
from kernel.release import IS_CHECKOUT, PROGRAM, ROOT

logger = logging.getLogger(__name__)

# A child kills itself if it still runs this long after the supervisor has ended.
ORPHAN_SECONDS = 25.0

type WorkerConfiguration = dict[str, Any]
# Maps the names of children to the modules that they run and their configurations.
type Roles = dict[str, tuple[str, WorkerConfiguration]]


# --- The supervisor's side --------------------------------------------------------------------


class Child:
    """A child with a name, and its current process. Calls `died` when the process has ended.

    `due` is the time of the next start, or None if no start is scheduled.
    """

    def __init__(
        self,
        name: str,
        *,
        module: str,
        configuration: WorkerConfiguration,
        died: Callable[[Child, int], object],
    ) -> None:
        self.name = name
        self.due: float | None = time.monotonic()
        self._module = module
        self._configuration = configuration
        self._died = died
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process in a new session, so that only the supervisor receives Ctrl-C."""
        self.due = None
        self._started_at = time.monotonic()
        self._process = process = subprocess.Popen(  # noqa: S603 - our own program
            # With -P, a module in the current directory cannot shadow one of our modules.
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
        if process.stdin is not None:
            # Writing fails if the child has already died. The error is ignored, because the thread
            # that waits for the child reports its death.
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(self._configuration).encode() + b"\n")
                process.stdin.flush()
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        self._died(self, process.wait())

    def schedule_restart(self, code: int) -> None:
        """Schedules the next start after a delay, and logs why the process ended."""
        now = time.monotonic()
        delay = self._backoff.after(now - self._started_at)
        self.due = now + delay
        logger.error(
            "The %s process ended (%s). It restarts in %.2f s.", self.name, _cause(code), delay
        )

    def terminate(self) -> None:
        self.due = None
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Kills the process group: the process and its descendants."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _environment() -> dict[str, str]:
    """Returns a copy of the environment. In a checkout, PYTHONPATH contains the project."""
    path = [str(ROOT) if IS_CHECKOUT else "", os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"


# --- The child's side -------------------------------------------------------------------------


def run_as_child(loop: Callable[[WorkerConfiguration, threading.Event], None]) -> None:
    """Sets up Django, and runs `loop` in this child process until a signal arrives."""
    configuration = read_worker_configuration()
    adopt_flags(configuration["flags"])
    django.setup()
    run_until_signalled(lambda stop: loop(configuration, stop))


def read_worker_configuration() -> WorkerConfiguration:
    """Reads the configuration from standard input.

    When standard input closes, the process ends.
    """
    # The pipe is unbuffered. A buffered reader has a lock, and the thread that watches the pipe
    # would still hold this lock when the process exits.
    pipe = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    line = pipe.readline()
    if not line:
        sys.exit(f"You cannot start this program directly. `{PROGRAM} server` starts it.")
    threading.Thread(target=_watch, args=(pipe,), name="lifeline", daemon=True).start()
    configuration: WorkerConfiguration = json.loads(line)
    return configuration


def _watch(pipe: IO[bytes]) -> None:
    while pipe.read(1):
        pass
    end_soon()


def end_soon(seconds: float = ORPHAN_SECONDS) -> None:
    """Sends SIGTERM to this process. After `seconds`, sends SIGKILL to its process group.

    Never returns.
    """
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
