"""The child processes of the supervisor, and the pipe between the supervisor and each child.

A child is a fork of the supervisor, which has loaded Django and the apps. It starts within
milliseconds, and shares the memory of the loaded code with the other processes. Before a fork, the
supervisor has no database connection. Its own threads only use locks that no child uses.

A child ends when its pipe closes. The supervisor closes the pipe to stop the child. The operating
system closes it if the supervisor ends for another reason.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from setproctitle import setproctitle

from coderapi.startup.exit_status import ENDING
from kernel.loops import Backoff

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

    from coderapi.server.listener import Listener

logger = logging.getLogger(__name__)

# The beginning of the command line of each child.
TITLE = "coderapi: "
# The supervisor handles these signals, and its children do not.
OF_SUPERVISOR = (*ENDING, signal.SIGCHLD)
_forking = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Role:
    """The work of a child process.

    When its pipe closes, the child sends SIGTERM to itself. The child kills itself if it is still
    running after `drain_seconds`. It inherits the socket of `listener`, and no other one.
    """

    name: str
    run: Callable[[], None]
    drain_seconds: float = 25.0
    listener: Listener | None = None


class Child:
    """A child with a role, and its current process.

    `due` is the time of the next start, or None if no start is scheduled.
    """

    def __init__(self, role: Role) -> None:
        self.role = role
        self.due: float | None = None
        self._backoff = Backoff()
        self._process: ForkProcess | None = None
        self._started_at = 0.0
        self._pipe: int | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.exitcode is None

    def start(self, siblings: Iterable[Child]) -> None:
        """Starts the process in a new session, so that only the supervisor receives Ctrl-C.

        Raises: OSError if the operating system has no process or no memory left.
        """
        self.due = None
        self._started_at = time.monotonic()
        self.close_pipe()
        if self.role.listener:
            self.role.listener.open()
        listeners = {each.role.listener for each in siblings} - {self.role.listener}
        reader, self._pipe = os.pipe()
        pipes = [child._pipe for child in siblings if child._pipe is not None]
        arguments = (self.role, reader, pipes, listeners - {None})
        process = _forking.Process(target=_run, args=arguments)
        try:
            process.start()
        finally:
            os.close(reader)
        self._process = process

    def schedule_restart(self, error: OSError | None = None) -> None:
        """Schedules the next start after a delay. Logs why the process ended or cannot start."""
        now = time.monotonic()
        delay = self._backoff.after(now - self._started_at)
        self.due = now + delay
        code = (self._process and self._process.exitcode) or 0
        cause = f"ended (signal {-code})" if code < 0 else f"ended (exit status {code})"
        cause = f"cannot start ({error})" if error else cause
        logger.error("The %s process %s. It restarts in %.2f s.", self.role.name, cause, delay)

    def is_away(self, seconds: float) -> bool:
        """Returns whether the process will not run for this time."""
        return self.due is not None and self.due > time.monotonic() + seconds

    def close_pipe(self) -> None:
        """Closes the pipe, so that the process ends when it has finished its work."""
        if self._pipe is not None:
            os.close(self._pipe)
        self._pipe = None

    def end(self) -> None:
        """Makes the process end. Then the web workers have the only copies of their socket."""
        self.close_pipe()
        if self.role.listener:
            self.role.listener.close()

    def kill(self) -> None:
        """Kills the process group: the process and its descendants."""
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()


def _run(role: Role, reader: int, pipes: Iterable[int], others: Iterable[Listener]) -> None:
    """Runs the role in the new process."""
    # Otherwise the supervisor would receive the child's signals.
    signal.set_wakeup_fd(-1)
    for signum in OF_SUPERVISOR:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    os.setsid()
    # A pipe closes when all its descriptors are closed, so a child must not keep those of others.
    for pipe in pipes:
        os.close(pipe)
    for listener in others:
        listener.close()
    # Otherwise each child would have the command line of the supervisor, which may contain secrets.
    # The variable prevents that the title overwrites the environment in /proc.
    os.environ["SPT_NOENV"] = "1"
    setproctitle(f"{TITLE}{role.name}")
    gc.enable()
    threading.Thread(
        target=_end_with_pipe, args=(reader, role), name="lifeline", daemon=True
    ).start()
    try:
        role.run()
    finally:
        # Python 3.12 runs no exit handlers in a forked process.
        atexit._run_exitfuncs()


def _end_with_pipe(reader: int, role: Role) -> None:
    os.read(reader, 1)
    if role.listener:
        role.listener.is_ending = True
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(role.drain_seconds)
    logger.warning("This process is killed, because it did not end in time")
    os.killpg(0, signal.SIGKILL)
