"""Starts the child processes, restarts children that die, and stops all children at the end."""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Sequence

from coderapi.server.children import OF_SUPERVISOR, Child, Role
from coderapi.server.command import private_database_watched
from coderapi.server.signals import REPEAT_SECONDS, Signals
from coderapi.startup.exit_status import ENDING

logger = logging.getLogger(__name__)

# Service managers often kill a service 30 seconds after SIGTERM. The other 5 seconds are for
# stopping the private database.
DRAIN_SECONDS = 25.0
# New connections wait for the restart of a worker for up to this time.
MAX_WAIT_SECONDS = 1.0


class Supervisor:
    """Runs the children until a signal arrives.

    Then the children may serve requests for `delay` seconds before they end.
    """

    def __init__(self, roles: Sequence[Role], *, delay: float = 0.0) -> None:
        self._signals = Signals(OF_SUPERVISOR)
        self._children = [Child(role) for role in roles]
        self._delay = delay

    def run(self) -> int:
        """Runs the children. Returns the exit status.

        It is 0 if all children ended after SIGTERM, or 1 if a child had to be killed.
        """
        with self._signals:
            # Garbage collection would write to all objects, so that they would no longer be shared.
            gc.freeze()
            for child in self._children:
                child.start(siblings=self._children)
            gc.enable()
            try:
                # This starts a thread, so the first children are forked before it.
                with private_database_watched():
                    self._run_children()
                    return self._end()
            finally:
                self._end_children()

    def _run_children(self) -> None:
        """Restarts children that die. Returns at the first signal to stop."""
        while True:
            event = self._next(until=min((c.due for c in self._children if c.due), default=None))
            if event not in {None, signal.SIGCHLD}:
                return
            for child in self._children:
                if child.due is None and not child.alive:
                    child.schedule_restart()
            self._restart_due()
            self._pause_listeners()

    def _pause_listeners(self) -> None:
        """Lets each address reject connections whose workers will all be away for some time.

        Then a proxy, or clients, can try another server.
        """
        for listener in {child.role.listener for child in self._children}:
            workers = [child for child in self._children if child.role.listener is listener]
            if listener and all(child.is_away(MAX_WAIT_SECONDS) for child in workers):
                listener.pause()

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.due is not None and child.due <= now:
                try:
                    child.start(siblings=self._children)
                except OSError as error:
                    # The other children continue.
                    child.schedule_restart(error)

    def _next(self, *, until: float | None) -> int | None:
        return self._signals.get(None if until is None else max(0.0, until - time.monotonic()))

    def _end(self) -> int:
        logger.info("Stopping. Running requests and jobs are completed first.")
        begun = time.monotonic()
        self._end_children()
        while any(child.alive for child in self._children):
            event = self._next(until=begun + self._delay + DRAIN_SECONDS)
            is_again = event in ENDING and time.monotonic() > begun + REPEAT_SECONDS
            if event is None or is_again:
                return self._kill()
        logger.info("Stopped")
        return 0

    def _end_children(self) -> None:
        for child in self._children:
            child.end()

    def _kill(self) -> int:
        for child in self._children:
            if child.alive:
                logger.warning(
                    "Killing the %s process, because it did not end in time", child.role.name
                )
            child.kill()
        return 1
