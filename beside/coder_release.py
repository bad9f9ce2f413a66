"""Keeps the version of the Coder deployment up to date in each process.

Each response of Coder contains its version. If a process has received no response for some seconds,
a thread requests the build info. So a process knows a new version at most ten seconds after Coder
has changed. The last known version is also stored, because Coder can be away when this service
starts.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import DatabaseError
from django.utils import timezone

from beside import client
from beside.client import CoderUnavailableError, ask
from beside.models import CoderRelease
from kernel.loops import repeat

BUILD_INFO = "/api/v2/buildinfo"
INTERVAL_SECONDS = 4.0
SECONDS = 0.8

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Watch:
    """The watch of one process. It starts with the first call of `version`."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    stored: str = ""
    interval: float = INTERVAL_SECONDS

    def version(self) -> str:
        """Returns the version that Coder has last reported, or "" if it has never responded."""
        if self.thread is None:
            with self.lock:
                if self.thread is None:
                    self._start()
        return client.version() or self.stored

    def _start(self) -> None:
        if stored := _tried(CoderRelease.objects.first):
            self.stored = stored.version
            # Until now, this process has learned the version only from responses to its requests.
            age = (timezone.now() - stored.changed_at).total_seconds()
            if client.silent_seconds() > age:
                client.learn_version(stored.version, at=time.monotonic() - client.silent_seconds())
        self._turn()
        turn: Callable[[], None] = self._turn
        run = threading.Thread(
            target=repeat,
            args=(turn,),
            kwargs={"every": self.interval, "stop": self.stop},
            name="version of Coder",
            daemon=True,
        )
        run.start()
        self.thread = run

    def _turn(self) -> None:
        if client.silent_seconds() >= self.interval:
            try:
                # The thread sends few requests, so the breaker need not stop it.
                ask(BUILD_INFO, token="", seconds=SECONDS, passes_breaker=True)
            except CoderUnavailableError:
                # The last known version is still used.
                return
        found = client.version()
        if found and found != self.stored:
            _tried(lambda: CoderRelease.remember(found, now=timezone.now()))
            self.stored = found


def _tried[T](use_database: Callable[[], T]) -> T | None:
    try:
        return use_database()
    except DatabaseError as error:
        logger.warning("the version of Coder is not stored: %s", type(error).__name__)
        return None


_watch = Watch()


def version() -> str:
    """Returns the version that Coder has last reported, or "" if it has never responded."""
    return _watch.version()


def restart(*, interval: float = INTERVAL_SECONDS) -> None:
    """Stops the watch and waits for its thread. The next call of `version` starts a new one."""
    _watch.stop.set()
    if _watch.thread is not None:
        _watch.thread.join()
    _forget(interval)


def _forget(interval: float = INTERVAL_SECONDS) -> None:
    global _watch
    _watch = Watch(interval=interval)


# A forked process has none of the threads, and a copied lock may be locked forever.
os.register_at_fork(after_in_child=_forget)
