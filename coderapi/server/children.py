"""A child process of the supervisor, from both sides of the pipe between them.

The pipe brings a child its orders, then nothing until the supervisor is gone. Orders hold secrets,
so they are neither in a child's arguments nor in its environment. The pipe's end comes however the
supervisor ended, so no child outlives it for long.
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

# A child that has not finished in this time after the supervisor's end is killed.
ORPHAN_SECONDS = 25.0

type Orders = dict[str, Any]


# --- The supervisor's side --------------------------------------------------------------------


class Child:
    """One role, filled by one process after the other. A thread of its own calls `died`."""

    def __init__(
        self, name: str, *, module: str, orders: Orders, died: Callable[[Child, int], object]
    ) -> None:
        self.name = name
        self.due: float | None = time.monotonic()
        self._module = module
        self._orders = orders
        self._died = died
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process in a session of its own: Ctrl-C ends it only through us."""
        self.due = None
        self._started_at = time.monotonic()
        self._process = process = subprocess.Popen(  # noqa: S603 - our own program
            # -P: a module in the current directory must not stand in for one of ours.
            [sys.executable, "-P", "-m", self._module],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
        if process.stdin is not None:
            # A child that died already is reported by the thread that waits for it.
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(self._orders).encode() + b"\n")
                process.stdin.flush()
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        self._died(self, process.wait())

    def start_again_later(self, code: int) -> None:
        """Sets when the next process is due."""
        now = time.monotonic()
        delay = self._backoff.after(now - self._started_at)
        self.due = now + delay
        logger.error(
            "The %s process ended (%s); it starts again in %.2f s", self.name, _cause(code), delay
        )

    def terminate(self) -> None:
        self.due = None
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Ends the process and all that it has started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _environment() -> dict[str, str]:
    """Returns our environment, with a checkout on the path. An installed package is there."""
    path = [str(ROOT) if IS_CHECKOUT else "", os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"


# --- The child's side -------------------------------------------------------------------------


def run_as_child(loop: Callable[[Orders, threading.Event], None]) -> None:
    """Sets Django up as the orders say, and runs the loop until a signal comes."""
    orders = take_over()
    adopt_flags(orders["flags"])
    django.setup()
    run_until_signalled(lambda stop: loop(orders, stop))


def take_over() -> Orders:
    """Reads the orders from standard input, which is watched from now on."""
    # Unbuffered: a buffered reader's lock would be held by the watching thread at exit.
    pipe = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    line = pipe.readline()
    if not line:
        sys.exit(f"This program is started by `{PROGRAM} server`.")
    threading.Thread(target=_watch, args=(pipe,), name="lifeline", daemon=True).start()
    orders: Orders = json.loads(line)
    return orders


def _watch(pipe: IO[bytes]) -> None:
    while pipe.read(1):
        pass
    end_soon()


def end_soon(seconds: float = ORPHAN_SECONDS) -> None:
    """Asks this process to end, and after a while ends it and those it leads. Does not return."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
