"""Notifications from other processes: LISTEN on a connection of its own, checked by a heartbeat.

Through PgBouncer in transaction mode, LISTEN succeeds and delivers nothing. A half-open connection
delivers nothing either. So the listener sends itself a heartbeat every half second. When two are
missing, `is_connected()` is false and no cache that relies on notifications is used.

The heartbeat is sent on a second connection. PostgreSQL delivers a notification to its own sender
together with the answer to NOTIFY, and a pooler passes that answer on, so a heartbeat on the
listening connection would prove nothing.

A frozen database cannot be changed. So `is_fresh()` stays true for up to half a minute after the
last heartbeat if the database has not answered this process since then. The price: a process that
alone is cut off from the database learns of a revoked key up to half a minute late.
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
from kernel.loops import Backoff, repeat

CHANNEL = "coderapi"
HEARTBEAT_SECONDS = 0.5
# Two heartbeats missed.
DEAF_AFTER_SECONDS = 2.2 * HEARTBEAT_SECONDS
MAX_SILENCE_SECONDS = 30.0
DEAD_PEER_MS = 2000

log = logging.getLogger(__name__)

type Callback = Callable[[str], None]
_subscribers: dict[str, list[Callback]] = {}


def subscribe(topic: str, callback: Callback) -> None:
    """Has `callback(argument)` called for each announcement of the topic.

    The argument is "" when announcements may have been missed: then everything is stale.
    """
    _subscribers.setdefault(topic, []).append(callback)


def unsubscribe(topic: str, callback: Callback) -> None:
    if callback in _subscribers.get(topic, ()):
        _subscribers[topic].remove(callback)


def announce(topic: str, argument: str = "") -> None:
    """Tells every process, with the surrounding transaction's commit, that something changed.

    Commits that notify run one after another in PostgreSQL: never announce what every request does.
    """
    notify(CHANNEL, f"{topic}:{argument}")


def dispatch(payload: str) -> None:
    topic, _, argument = payload.partition(":")
    for callback in _subscribers.get(topic, ()):
        callback(argument)


def _reset_all() -> None:
    for topic in _subscribers:
        dispatch(topic)


class Listener(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="listener", daemon=True)
        self._own_channel = f"{CHANNEL}_{uuid.uuid4().hex}"
        self._last_heard = float("-inf")
        self._connected = False
        self._ended = threading.Event()
        self._complained = False
        self._backoff = Backoff(first=0.2, longest=2.0, settled=DEAF_AFTER_SECONDS)

    def is_connected(self) -> bool:
        return self._connected and time.monotonic() - self._last_heard < DEAF_AFTER_SECONDS

    def is_fresh(self) -> bool:
        silent = answered_at() < self._last_heard + DEAF_AFTER_SECONDS
        soon = time.monotonic() < self._last_heard + MAX_SILENCE_SECONDS
        return self.is_connected() or (silent and soon)

    def stop(self) -> None:
        self._ended.set()
        self.join(timeout=5)

    def run(self) -> None:
        repeat(self._try_to_listen, every=0, stop=self._ended)

    def _try_to_listen(self) -> float:
        """Listens as long as the connections live. Returns the seconds until the next try."""
        begun = time.monotonic()
        try:
            with (
                connect_as_requests_do(tcp_user_timeout=DEAD_PEER_MS) as sender,
                connect_directly(tcp_user_timeout=DEAD_PEER_MS) as connection,
            ):
                self._listen(connection, sender)
        except (psycopg.Error, OSError) as error:
            if not self._complained:
                log.warning("not hearing of changes: %s", type(error).__name__)
            self._complained = True
        self._connected = False
        return self._backoff.after(time.monotonic() - begun)

    def _listen(self, connection: psycopg.Connection[Any], sender: psycopg.Connection[Any]) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        connection.execute(f"LISTEN {self._own_channel}")
        _reset_all()
        while not self._ended.is_set():
            sender.execute(f"NOTIFY {self._own_channel}")
            note_answer()
            for notification in connection.notifies(timeout=HEARTBEAT_SECONDS):
                self._hear(notification)

    def _hear(self, notification: psycopg.Notify) -> None:
        if notification.channel != self._own_channel:
            dispatch(notification.payload)
        else:
            if not self.is_connected():
                # Announcements may have passed while we were deaf.
                _reset_all()
            if self._complained:
                log.info("hearing of changes again")
                self._complained = False
            self._last_heard, self._connected = time.monotonic(), True


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
    """Tells whether this process listens at all: only those that serve requests do."""
    return _listener is not None


def is_connected() -> bool:
    """Tells whether this process hears of changes made elsewhere; false without a listener."""
    return _listener is not None and _listener.is_connected()


def is_fresh() -> bool:
    """Tells whether what this process remembers holds: it hears of changes, or none can be made.

    The second is so, for half a minute, while the database answers nothing in this process.
    """
    return _listener is not None and _listener.is_fresh()
