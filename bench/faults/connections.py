"""Faults of connections: cut during COMMIT, all in use, or waiting for a lock."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from typing import Any

import psycopg

from bench.faults.clients import Load, crowd
from bench.faults.proxy import BATCH, KEY
from bench.faults.rounds import Fault
from bench.faults.stages import Single, Stage

CUT_CHANCE = 0.2
THIEF = "thief"
END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'coderapi' AND application_name <> %s
"""
LOCKED_SECONDS = 25.0


class CutCommits(Fault[Single]):
    """A fifth of the connections cut before, during or after their COMMIT, for three seconds."""

    name, stage, rounds, seconds = "cut-commits", Single, 6, 3.0

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        stage.proxy.order("cut", CUT_CHANCE, chance.randrange(1 << 30))

    def repair(self, stage: Single) -> None:
        cut = stage.proxy.order("forward").split()
        self._found = [f"the proxy cut no {word}" for word in (BATCH, KEY) if word not in cut]


class Exhausted(Fault[Single]):
    """Another program takes every connection of PostgreSQL for eight seconds."""

    name, stage, rounds, seconds = "connections-exhausted", Single, 3, 8.0
    reason = "too many clients|remaining connection slots"

    def __init__(self) -> None:
        self._taken: list[psycopg.Connection[Any]] = []
        self._over = threading.Event()
        self._thread = threading.Thread()

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._take_all, args=[stage])
        self._thread.start()

    def _take_all(self, stage: Single) -> None:
        url = f"{stage.cluster.url()}?application_name={THIEF}"
        # PostgreSQL reserves some connections for superusers.
        with stage.look() as connection:
            while not self._over.is_set():
                try:
                    self._taken.append(psycopg.connect(url, connect_timeout=5))
                except psycopg.OperationalError:
                    connection.execute(END_OTHERS, [THIEF])

    def repair(self, stage: Single) -> None:
        self._over.set()
        self._thread.join()
        while self._taken:
            self._taken.pop().close()


class LockedKeys(Fault[Stage]):
    """LOCK TABLE of the tokens for 25 seconds, with 150 more clients whose keys are new."""

    name, stage, rounds, seconds = "lock-tokens", Single, 2, LOCKED_SECONDS

    _locker: psycopg.Connection[Any] | None = None

    def break_(self, stage: Stage, chance: random.Random, load: Load) -> None:
        more = crowd(stage)
        self._locker = stage.look()
        self._locker.autocommit = False
        self._locker.execute("LOCK TABLE tokens_apikey IN ACCESS EXCLUSIVE MODE")
        load.add(more)

    def repair(self, stage: Stage) -> None:
        with suppress(psycopg.Error):
            if self._locker is not None:
                self._locker.rollback()
                self._locker.close()


FAULTS = (CutCommits(), Exhausted(), LockedKeys())
