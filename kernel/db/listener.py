"""Receives notifications from other processes with LISTEN, and checks that they arrive.

The transaction that makes a change announces it with NOTIFY. `kernel.memory` then evicts the cached
values that the change affects, so every process rejects a **revoked key** within milliseconds.

PgBouncer in transaction mode accepts LISTEN, but delivers no notifications. Neither does a
half-open connection. So the listener sends itself a heartbeat every half second. After two missing
heartbeats, `is_connected()` returns false, and cached values that depend on notifications are
not used.

The heartbeat is sent on a second connection, because a heartbeat on the listening connection would
prove nothing. PostgreSQL delivers a connection's own notifications together with the response to
NOTIFY, so they arrive even through a pooler.

A **frozen database** cannot be changed. So `is_fresh()` stays true for up to half a minute after
the last heartbeat, as long as the database has not responded to this process since then.
docs/architecture.md lists for how long a revoked key is accepted.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

from kernel.db.connections import (
    LimitedConnection,
    answered_at,
    connect_as_requests_do,
    connect_directly,
    first_line,
    note_answer,
)
from kernel.db.sql import execute
from kernel.loops import repeat

CHANNEL = "coderapi"
# The interval of heartbeats, and the pause before a lost connection is opened again.
HEARTBEAT_SECONDS = 0.5
# If no heartbeat arrives for this long, the process counts as disconnected. If the notification
# about a revoked key is lost, the key is accepted for this long.
DEAF_AFTER_SECONDS = 2.2 * HEARTBEAT_SECONDS
# If the sender works but no heartbeat arrives for this long, both connections are opened again. The
# receiver may be connected to a frozen server that a standby has replaced.
RECONNECT_SECONDS = 10.0
# Cached values are used for this long while the database does not respond. The time must be longer
# than a failover.
MAX_SILENCE_SECONDS = 30.0

log = logging.getLogger(__name__)

_subscribers: dict[str, list[Callable[[str], None]]] = {}


def subscribe(topic: str, callback: Callable[[str], None]) -> None:
    """Registers `callback(argument)` for the announcements of a topic.

    The argument is "" if announcements may have been missed. The callback must then treat all
    values of the topic as stale.
    """
    _subscribers.setdefault(topic, []).append(callback)


def announce(topic: str, argument: str = "") -> None:
    """Notifies every process of a change when the surrounding transaction commits.

    PostgreSQL runs commits with notifications one after another. So do not announce changes that
    most requests make.
    """
    execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{topic}:{argument}"])


def dispatch(payload: str) -> None:
    topic, _, argument = payload.partition(":")
    for callback in _subscribers.get(topic, ()):
        callback(argument)


def _reset_all() -> None:
    # Iterates over a copy, because another thread may subscribe meanwhile: the first request
    # imports the views, and their documents subscribe.
    for topic in tuple(_subscribers):
        dispatch(topic)


class Listener(threading.Thread):
    def __init__(self, *, deaf_after: float) -> None:
        super().__init__(name="listener", daemon=True)
        self._deaf_after = deaf_after
        self._own_channel = f"{CHANNEL}_{uuid.uuid4().hex}"
        self._last_heartbeat = float("-inf")
        self._connected = False
        self.ended = threading.Event()
        self._complained = False

    def is_connected(self) -> bool:
        return self._connected and time.monotonic() - self._last_heartbeat < self._deaf_after

    def is_fresh(self) -> bool:
        is_silent = answered_at() < self._last_heartbeat + self._deaf_after
        is_recent = time.monotonic() < self._last_heartbeat + MAX_SILENCE_SECONDS
        return self.is_connected() or (is_silent and is_recent)

    def run(self) -> None:
        repeat(self._try_to_listen, every=HEARTBEAT_SECONDS, stop=self.ended)

    def _try_to_listen(self) -> None:
        """Listens until a connection breaks."""
        try:
            with (
                connect_as_requests_do(LimitedConnection) as sender,
                connect_directly(LimitedConnection) as receiver,
            ):
                self._listen(receiver, sender)
        except (psycopg.Error, OSError) as error:
            if not self._complained:
                log.warning("notifications are off: %s", first_line(error))
            self._complained = True
        self._connected = False

    def _listen(self, receiver: psycopg.Connection[Any], sender: psycopg.Connection[Any]) -> None:
        receiver.execute(f"LISTEN {CHANNEL}")
        receiver.execute(f"LISTEN {self._own_channel}")
        _reset_all()
        begun = time.monotonic()
        while not self.ended.is_set():
            if time.monotonic() > max(begun, self._last_heartbeat) + RECONNECT_SECONDS:
                raise psycopg.OperationalError("no heartbeat arrives")
            sender.execute(f"NOTIFY {self._own_channel}")
            note_answer()
            for notification in receiver.notifies(timeout=HEARTBEAT_SECONDS):
                self._receive(notification)

    def _receive(self, notification: psycopg.Notify) -> None:
        if notification.channel != self._own_channel:
            dispatch(notification.payload)
            return
        if not self.is_connected():
            # Announcements may have been missed while the listener was disconnected.
            _reset_all()
        if self._complained:
            log.info("notifications are on again")
            self._complained = False
        self._last_heartbeat, self._connected = time.monotonic(), True


_listener: Listener | None = None


def start(*, deaf_after: float = DEAF_AFTER_SECONDS) -> None:
    """Starts this process's listener if it is not running. Units: seconds."""
    global _listener
    if _listener is None or not _listener.is_alive():
        _listener = Listener(deaf_after=deaf_after)
        _listener.start()


def stop() -> None:
    global _listener
    if _listener is not None:
        _listener.ended.set()
        _listener.join(timeout=5)
        _listener = None


def started() -> bool:
    """Returns whether this process has a listener. Only processes that serve requests have one."""
    return _listener is not None


def is_connected() -> bool:
    """Returns whether this process receives notifications. False without a listener."""
    return _listener is not None and _listener.is_connected()


def is_fresh() -> bool:
    """Returns whether cached values may be used.

    They may be used while this process receives notifications, and for half a minute while the
    database does not respond to this process.
    """
    return _listener is not None and _listener.is_fresh()
