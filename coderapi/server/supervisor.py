"""Starts the child processes, restarts children that die, and stops all children at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from coderapi.server.addresses import Listener, announce_ready
from coderapi.server.children import Child, Roles
from kernel.loops import REPEAT_SECONDS, signals_into

logger = logging.getLogger(__name__)

# Service managers often kill a service 30 seconds after SIGTERM. The other 5 seconds are for
# stopping the private database.
DRAIN_SECONDS = 25.0


@dataclass(frozen=True)
class Signalled:
    number: int


@dataclass(frozen=True)
class Died:
    child: Child
    code: int


class Supervisor:
    """Runs the children until a signal arrives. Signals and deaths are events in one queue."""

    def __init__(self, listeners: Sequence[Listener], *, roles: Roles) -> None:
        self._listeners = listeners
        self._events: SimpleQueue[Signalled | Died] = SimpleQueue()
        self._children = [
            Child(name, module=module, configuration=configuration, died=self._report)
            for name, (module, configuration) in roles.items()
        ]

    def run(self) -> int:
        """Runs the children. Returns the exit status.

        It is 0 if all children ended after SIGTERM, or 1 if a child had to be killed.
        """
        with signals_into(lambda number: self._events.put(Signalled(number))):
            stopping = threading.Event()
            for listener in self._listeners:
                threading.Thread(
                    target=announce_ready, args=(listener, stopping), daemon=True
                ).start()
            self._run_children()
            stopping.set()
            return self._end()

    def _report(self, child: Child, code: int) -> None:
        self._events.put(Died(child, code))

    def _run_children(self) -> None:
        """Restarts children that die. Returns at the first signal."""
        while True:
            self._start_due()
            match self._next(until=min((c.due for c in self._children if c.due), default=None)):
                case Died(child, code):
                    child.schedule_restart(code)
                case Signalled():
                    return

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.due is not None and child.due <= now:
                child.start()

    def _next(self, *, until: float | None) -> Signalled | Died | None:
        try:
            left = None if until is None else max(0.0, until - time.monotonic())
            return self._events.get(timeout=left)
        except Empty:
            return None

    def _end(self) -> int:
        logger.info("Stopping. Running requests and jobs are completed first.")
        begun = time.monotonic()
        for child in self._children:
            child.terminate()
        while any(child.alive for child in self._children):
            event = self._next(until=begun + DRAIN_SECONDS)
            again = isinstance(event, Signalled) and time.monotonic() > begun + REPEAT_SECONDS
            if event is None or again:
                return self._kill()
        logger.info("Stopped")
        return 0

    def _kill(self) -> int:
        for child in self._children:
            if child.alive:
                logger.warning("Killing the %s process, because it did not end in time", child.name)
            child.kill()
        return 1
