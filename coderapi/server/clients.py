"""Counts the connections of a web worker by address, and disconnects clients.

* If there are too many connections, some are closed. Connections that have never had a response are
  closed first: those of an address with many such connections, and then the oldest ones. If there
  are few such connections, some of the busiest address are closed.
* If an address has too many connections, some of its connections are closed.
* A client that is late with a head, or that does not read a response, is disconnected.
* If too many bytes wait to be read by clients, the connections that stalled first are closed.

All methods run in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from coderapi.server.limits import Limits
from kernel.limiter import LimitReachedError

FULL = "Too many large requests are being received."
OWN_FULL = "Too many large requests from this address are being received."

log = logging.getLogger(__name__)


class Client(Protocol):
    """A connection, as far as this module needs it. `address` names its client.

    `may_be_many` is true for a proxy, whose connections belong to many clients. `waits_since` is
    the time since when the connection waits for its client, or None.
    """

    address: str
    may_be_many: bool
    is_answered: bool
    waits_since: float | None

    @property
    def unsent(self) -> int:
        """The number of bytes that wait to be read by the client."""

    def abort(self) -> None: ...


class Clients:
    """The open connections of a worker."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits, self.clock = limits, clock
        # True if each response is the last one of its connection.
        self.is_closing = False
        # The oldest connection is the first.
        self.open: dict[Client, None] = {}
        # Connections whose client has read nothing since the last check: the bytes, and since when.
        self.stalled: dict[Client, tuple[int, float]] = {}
        self.addresses: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.held_in_all = 0

    # --- Connections ------------------------------------------------------------------------------

    @property
    def unanswered(self) -> list[Client]:
        """The connections that have never had a response. The oldest is the first."""
        return [each for each in self.open if not each.is_answered]

    def add(self, client: Client) -> None:
        """Adds a connection. If there are too many, closes others first."""
        own = self.limits.connections_of_address
        if len(self.open) >= self.limits.connections:
            self._make_room()
        elif self.addresses[client.address] >= own and not client.may_be_many:
            self._close(self._connections_of(client.address))
        self.open[client] = None
        self.addresses[client.address] += 1

    def remove(self, client: Client) -> None:
        if client in self.open:
            del self.open[client]
            self.stalled.pop(client, None)
            _subtract(self.addresses, client.address, 1)

    def _make_room(self) -> None:
        """Closes some connections."""
        unanswered, few = self.unanswered, self.limits.closed_together
        by_address = Counter(each.address for each in unanswered)
        busiest, number = by_address.most_common(1)[0] if by_address else ("", 0)
        if number > few:
            self._close([each for each in unanswered if each.address == busiest])
        elif len(unanswered) > few:
            self._close(unanswered)
        else:
            self._close(self._connections_of(self.addresses.most_common(1)[0][0]))

    def _connections_of(self, address: str) -> list[Client]:
        """Returns the connections of an address.

        Those that wait longest for their client are the first, and then those that do not read.
        """
        later = self.clock() + 1
        found = [each for each in self.open if each.address == address]
        return sorted(found, key=lambda each: (each.waits_since or later, each not in self.stalled))

    def _close(self, some: Sequence[Client]) -> None:
        for each in some[: self.limits.closed_together]:
            # It ends later. Meanwhile, further connections must not choose it again.
            self.remove(each)
            each.abort()

    # --- Memory -----------------------------------------------------------------------------------

    def hold(self, address: str, before: int, now: int) -> None:
        """Counts the received bytes of a connection, whose number changes from `before` to `now`.

        An empty address is not limited. Raises: LimitReachedError if there are too many.
        """
        _subtract(self.held, address, before - now)
        free = self.limits.free_bytes
        self.held_in_all += max(0, now - free) - max(0, before - free)
        if now <= before:
            return
        if address and self.held[address] > self.limits.held_bytes_of_address:
            raise LimitReachedError(OWN_FULL, is_per_caller=True)
        if now > free and self.held_in_all > self.limits.held_bytes:
            raise LimitReachedError(FULL, is_per_caller=False)

    # --- Late clients -----------------------------------------------------------------------------

    async def watch(self) -> None:
        """Disconnects late clients. Runs until it is canceled."""
        while True:
            self.sweep()
            await asyncio.sleep(self.limits.sweep_seconds)

    def sweep(self) -> None:
        unsent_in_all = 0
        for each in [*self.open]:
            try:
                unsent_in_all += self._check(each)
            except Exception:
                # The other connections must still be checked.
                log.exception("A connection could not be checked")
        self._limit_unsent(unsent_in_all)

    def _check(self, client: Client) -> int:
        """Disconnects the client if it is late. Returns its unsent bytes."""
        now, unsent = self.clock(), client.unsent
        if unsent == 0:
            self.stalled.pop(client, None)
            if (client.waits_since or now) < now - self.limits.head_seconds:
                client.abort()
            return 0
        if client.waits_since:
            # The client reads the end of a response, so it cannot be late with the next head.
            client.waits_since = now
        before, since = self.stalled.get(client, (unsent + 1, now))
        if unsent < before:
            since = now
        self.stalled[client] = (unsent, since)
        if since < now - self.limits.stalled_seconds:
            client.abort()
        return unsent

    def _limit_unsent(self, unsent_in_all: int) -> None:
        too_many = unsent_in_all - self.limits.unsent_bytes
        by_time = sorted(self.stalled.items(), key=lambda item: item[1][1])
        for client, (unsent, _) in by_time:
            if too_many <= 0:
                return
            too_many -= unsent
            client.abort()


def _subtract(counts: Counter[str], name: str, amount: int) -> None:
    left = counts.get(name, 0) - amount
    if left:
        counts[name] = left
    else:
        counts.pop(name, None)
