"""Receives notifications of other processes: LISTEN on its own connection, with a heartbeat.

A change is announced by NOTIFY in the transaction that makes it. `kernel.memory` then evicts what
this process remembers of it, so a **revoked key** is refused everywhere within milliseconds.

Through PgBouncer in transaction mode, LISTEN succeeds and delivers nothing. A half-open connection
delivers nothing either. So the listener sends itself a heartbeat every half second. When two are
missing, `is_connected()` is false, and memories that rely on notifications are not used.

The heartbeat is sent on a second connection. PostgreSQL delivers a notification to its own sender
together with the answer to NOTIFY, and a pooler passes that answer on, so a heartbeat on the
listening connection would prove nothing.

A **frozen database** cannot be changed. So `is_fresh()` stays true for up to half a minute after
the last heartbeat if the database has not answered this process since then. The price: a process
that alone is cut off from the database learns of a revoked key up to half a minute late.
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
    answered_at,
    connect_as_requests_do,
    connect_directly,
    note_answer,
    notify,
)
from kernel.loops import repeat

CHANNEL = "coderapi"
# Also the pause before a broken connection is opened again.
HEARTBEAT_SECONDS = 0.5
# Two missed heartbeats. A revoked key is accepted for this long if its notification is lost.
DEAF_AFTER_SECONDS = 2.2 * HEARTBEAT_SECONDS
# Longer than a failover takes.
MAX_SILENCE_SECONDS = 30.0

log = logging.getLogger(__name__)

type Callback = Callable[[str], None]
_subscribers: dict[str, list[Callback]] = {}


def subscribe(topic: str, callback: Callback) -> None:
    """Has `callback(argument)` called for each announcement of the topic.

    The argument is "" when announcements may have been missed. Then everything is stale.
    """
    _subscribers.setdefault(topic, []).append(callback)


def announce(topic: str, argument: str = "") -> None:
    """Notifies every process of a change when the surrounding transaction commits.

    Commits that notify run one after another in PostgreSQL: never announce what every request does.
    """
    notify(CHANNEL, f"{topic}:{argument}")


def dispatch(payload: str) -> None:
    topic, _, argument = payload.partition(":")
    for callback in _subscribers.get(topic, ()):
        callback(argument)


def _reset_all() -> None:
    # A copy: the first request imports the views, and their documents subscribe.
    for topic in tuple(_subscribers):
        dispatch(topic)


class Listener(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="listener", daemon=True)
        self._own_channel = f"{CHANNEL}_{uuid.uuid4().hex}"
        self._last_heartbeat = float("-inf")
        self._connected = False
        self._ended = threading.Event()
        self._complained = False

    def is_connected(self) -> bool:
        return self._connected and time.monotonic() - self._last_heartbeat < DEAF_AFTER_SECONDS

    def is_fresh(self) -> bool:
        is_silent = answered_at() < self._last_heartbeat + DEAF_AFTER_SECONDS
        is_recent = time.monotonic() < self._last_heartbeat + MAX_SILENCE_SECONDS
        return self.is_connected() or (is_silent and is_recent)

    def stop(self) -> None:
        self._ended.set()
        self.join(timeout=5)

    def run(self) -> None:
        repeat(self._try_to_listen, every=HEARTBEAT_SECONDS, stop=self._ended)

    def _try_to_listen(self) -> None:
        """Listens until a connection breaks."""
        try:
            with connect_as_requests_do() as sender, connect_directly() as connection:
                self._listen(connection, sender)
        except (psycopg.Error, OSError) as error:
            if not self._complained:
                log.warning("notifications are off: %s", type(error).__name__)
            self._complained = True
        self._connected = False

    def _listen(self, connection: psycopg.Connection[Any], sender: psycopg.Connection[Any]) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        connection.execute(f"LISTEN {self._own_channel}")
        _reset_all()
        while not self._ended.is_set():
            sender.execute(f"NOTIFY {self._own_channel}")
            note_answer()
            for notification in connection.notifies(timeout=HEARTBEAT_SECONDS):
                self._receive(notification)

    def _receive(self, notification: psycopg.Notify) -> None:
        if notification.channel != self._own_channel:
            dispatch(notification.payload)
            return
        if not self.is_connected():
            # Announcements may have been missed meanwhile.
            _reset_all()
        if self._complained:
            log.info("notifications are on again")
            self._complained = False
        self._last_heartbeat, self._connected = time.monotonic(), True


_listener: Listener | None = None


def start() -> Listener:
    """Starts this process's listener unless it runs. Returns it."""
    global _listener
    if _listener is None or not _listener.is_alive():
        _listener = Listener()
        _listener.start()
    return _listener


def stop() -> None:
    global _listener
    if _listener is not None:
        _listener.stop()
        _listener = None


def started() -> bool:
    """Returns whether this process listens. Only those that serve requests do."""
    return _listener is not None


def is_connected() -> bool:
    """Returns whether this process receives notifications; false without a listener."""
    return _listener is not None and _listener.is_connected()


def is_fresh() -> bool:
    """Returns whether remembered values are up to date.

    They are while this process receives notifications. They also are, for half a minute, while the
    database answers nothing to this process.
    """
    return _listener is not None and _listener.is_fresh()
