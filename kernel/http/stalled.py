"""Frees threads from request bodies that do not come.

The HTTP server's `read(n)` waits for n bytes or the end, for ever, and cannot be interrupted; while
it waits, not even another thread can answer the request (tried: the whole process hangs). But when
the kernel is told that the client may say no more, it returns, and the client still gets its
answer. Which connection that is, the server does not tell, so it is found by its client's address
and by how long it has been waiting for an answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kernel.http import connections
from kernel.http.connections import Peer, Waiting

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

logger = logging.getLogger(__name__)

# A client's address, and the port that it came to.
type Client = tuple[str, int]

BODY_SECONDS = 10.0
TICKS = 20
SLOW_SECONDS = 1.0
# After so many deadlines a body that could not be ended this way calls for a new process.
STUCK_DEADLINES = 3


class Request:
    """One request being answered, and since when its body is being read, if it is."""

    def __init__(self, host: str, port: int, *, seconds: float) -> None:
        self.client: Client = (host, port)
        self.begun = time.monotonic()
        self.reading_since: float | None = None
        self._seconds = seconds

    @contextmanager
    def reading(self) -> Iterator[None]:
        self.reading_since = time.monotonic()
        try:
            yield
        finally:
            self.reading_since = None

    def is_late(self) -> bool:
        """Whether the body's time is over, within the watch's precision."""
        return self.reads_for(time.monotonic()) >= self._seconds

    def reads_for(self, now: float) -> float:
        return 0.0 if self.reading_since is None else now - self.reading_since


class Watch:
    """Knows the requests of this process, and ends the reading of bodies that take too long."""

    def __init__(self, *, seconds: float = BODY_SECONDS) -> None:
        self.when_stuck: Callable[[], None] | None = None
        # How many requests were waiting for their bodies for a while when last looked at.
        self.slow_readers = 0
        self._tick = seconds / TICKS
        # What is seen once a tick is known no better; a body has a little less than its time.
        self._patience = seconds - 2 * self._tick
        self._seconds = seconds
        self._requests: set[Request] = set()
        self._waiting_since: dict[Peer, float] = {}
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def enter(self, environ: WSGIEnvironment) -> Request:
        """The request, known from now on until it is left."""
        request = Request(
            environ.get("REMOTE_ADDR", ""),
            int(environ.get("SERVER_PORT", 0)),
            seconds=self._patience,
        )
        self._requests.add(request)
        if self._thread is None:
            self._start()
        return request

    def leave(self, request: Request) -> None:
        self._requests.discard(request)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stalled", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(self._tick)
            try:
                self.look(time.monotonic())
            except Exception:
                logger.exception("Looking for stalled request bodies failed")

    def look(self, now: float) -> None:
        """Ends what is overdue."""
        requests = list(self._requests)
        self.slow_readers = sum(request.reads_for(now) >= SLOW_SECONDS for request in requests)
        if not any(request.reading_since for request in requests):
            self._waiting_since.clear()
            return
        waiting = connections.unanswered()
        self._waiting_since = {peer: self._waiting_since.get(peer, now) for peer in waiting}
        overdue = Counter(r.client for r in requests if r.reads_for(now) >= self._seconds)
        for client, count in overdue.items():
            if not any(r.client == client and self._is_slow(r, now) for r in requests):
                self._end_reading(waiting, client, count=count, now=now)
        self._call_for_help(requests, now)

    def _is_slow(self, request: Request, now: float) -> bool:
        """Whether it has waited as long with a complete body: its connection looks the same."""
        return request.reading_since is None and now - request.begun >= self._patience

    def _end_reading(
        self, waiting: dict[Peer, Waiting], client: Client, *, count: int, now: float
    ) -> None:
        """Ends as many as are overdue, of those that have waited longest."""
        since = self._waiting_since
        peers = [
            peer
            for peer in waiting
            if (peer.host, peer.local_port) == client and now - since[peer] >= self._patience
        ]
        peers.sort(key=lambda peer: (since[peer], -waiting[peer].silent_ms))
        for peer in peers[:count]:
            connections.stop_reading(peer, waiting[peer].descriptor)

    def _call_for_help(self, requests: list[Request], now: float) -> None:
        longest = max(request.reads_for(now) for request in requests)
        if longest < self._seconds * STUCK_DEADLINES or self.when_stuck is None:
            return
        logger.warning("A request body cannot be ended; this process asks to be replaced")
        self.when_stuck()
        self.when_stuck = None


SHARED_WATCH = Watch()
