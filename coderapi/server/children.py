"""A child process of the supervisor: started, watched, ended, and started again when it dies."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from coderapi.server.lifeline import Orders, hand_down
from kernel.loops import Backoff

logger = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[2]


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
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
        if process.stdin is not None:
            # A child that died already is reported by the thread that waits for it.
            with contextlib.suppress(OSError):
                hand_down(process.stdin, self._orders)
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


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(PROJECT), *([inherited] if inherited else [])])


def _cause(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
