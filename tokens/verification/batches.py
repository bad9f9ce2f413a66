"""Reads the keys of session tokens in batches.

The first request reads its key itself, or lets a thread read it. Requests that arrive meanwhile
wait. As soon as the first statement ends, a thread reads all keys that wait with one statement. So
a process runs at most one of these statements at a time, and each statement reads more keys when
the database is slower. No timer is needed.

An address with many rejected tokens has a `turn`. A statement reads only one key of each turn, so
that such an address cannot use more than its share.

A **frozen database** does not respond to the statement. It ends after its deadline, and all
requests that wait get its error. While the next statement tries again, further requests are
rejected at once, so that they do not block threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial

from kernel.db.connections import DatabaseBusyError
from kernel.futures import Pool, settle
from kernel.http.errors import APIError
from kernel.http.views.handlers import to_api_error
from kernel.limiter import STUCK_SECONDS
from tokens.token_format import TokenParts
from users.permissions import KeyIdentity

# The time for a statement.
LOOK_UP_SECONDS = 1.5
BUSY = "Too many requests are waiting for the database."

type Found = KeyIdentity | APIError


@dataclass(eq=False, slots=True)
class Wanted:
    """A token to look up for the client at `address`, and its result.

    Caches contain the `fingerprint`, and not the token.
    """

    parts: TokenParts
    fingerprint: bytes
    now: datetime
    address: str
    turn: str = ""
    found: Future[Found] = field(default_factory=Future)


class LookUps:
    """A queue of wanted keys. `read` returns the result of each, in the same order.

    `when_idle` is called after a batch if no key waits. The database is frozen if it does not
    respond for `stuck_seconds`.
    """

    def __init__(
        self,
        read: Callable[[Sequence[Wanted]], Sequence[Found]],
        when_idle: Callable[[], object] = lambda: None,
        *,
        stuck_seconds: float = STUCK_SECONDS,
    ) -> None:
        self._read, self._when_idle, self._stuck_seconds = read, when_idle, stuck_seconds
        self._lock = threading.Lock()
        self._waiting: list[Wanted] = []
        self._is_reading = False
        self._is_failing = False

    def ask(self, wanted: Wanted, *, here: bool = False) -> Future[Found]:
        """Returns the future result. It is never later than the next statement.

        A thread reads the key, or this one if `here` is true. A request that gives up cancels the
        future. While the database is frozen, the future raises DatabaseBusyError at once.
        """
        with self._lock:
            is_first, self._is_reading = not self._is_reading, True
            is_waiting = not is_first and not self._is_failing
            if is_waiting:
                self._waiting.append(wanted)
        if is_first:
            self._run([wanted]) if here else self._start([wanted])
        elif not is_waiting:
            wanted.found.set_exception(DatabaseBusyError(BUSY))
        return wanted.found

    def _start(self, batch: Sequence[Wanted]) -> None:
        self._thread.submit("", partial(self._run, batch))

    @cached_property
    def _thread(self) -> Pool:
        # Starting a thread for each batch would block the event loop until the thread runs.
        return Pool(1, name="lookups")

    def _run(self, batch: Sequence[Wanted]) -> None:
        """Reads the batch. Lets a thread read the next one, so that this request does not wait."""
        started = time.monotonic()
        failure = _resolve(batch, self._read)
        is_stuck = failure is not None and time.monotonic() - started >= self._stuck_seconds
        with self._lock:
            self._is_failing = is_stuck
            following, later = _split(self._waiting)
            self._waiting = [] if is_stuck else later
            self._is_reading = bool(following) and not is_stuck
        if failure is not None and is_stuck:
            for each in (*following, *later):
                settle(each.found, lambda: failure)
        elif following:
            self._start(following)
        else:
            self._when_idle()


def _split(waiting: Sequence[Wanted]) -> tuple[list[Wanted], list[Wanted]]:
    """Returns the keys to read next, and those that wait for their turn."""
    following, later = [], []
    turns: set[str] = set()
    for each in waiting:
        if each.found.cancelled():
            continue
        if each.turn and each.turn in turns:
            later.append(each)
        else:
            following.append(each)
            turns.add(each.turn)
    return following, later


def _resolve(
    batch: Sequence[Wanted], read: Callable[[Sequence[Wanted]], Sequence[Found]]
) -> APIError | None:
    """Reads the batch and sets all results. Returns the error if the database is unavailable."""
    # Skip the requests that have given up. From now on, the others can no longer give up.
    batch = [each for each in batch if each.found.set_running_or_notify_cancel()]
    try:
        found = read(batch)
    except BaseException as error:  # noqa: BLE001 - every request that waits must get a response
        answer = to_api_error(error)
        for each in batch:
            each.found.set_result(answer) if answer else each.found.set_exception(error)
        return answer
    for each, result in zip(batch, found, strict=True):
        each.found.set_result(result)
    return None
