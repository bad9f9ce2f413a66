"""The private PostgreSQL on a disk that is full."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import psycopg

from bench.faults.clients import Load
from bench.faults.rounds import Fault
from bench.faults.stages import SmallDisk

FULL_SECONDS = 20.0


class FullDisk(Fault[SmallDisk]):
    """The private PostgreSQL's disk is full until PostgreSQL ends itself, 20 seconds at most."""

    name, stage, rounds, seconds = "disk-full", SmallDisk, 3, 3.0

    def break_(self, stage: SmallDisk, chance: random.Random, load: Load) -> None:
        before, deadline = stage.postmaster, time.monotonic() + FULL_SECONDS
        while stage.postmaster == before and time.monotonic() < deadline:
            stage.fill()
            with suppress(psycopg.Error, OSError), stage.look() as connection:
                connection.execute(
                    "SELECT pg_switch_wal() FROM pg_logical_emit_message(true, '', '')"
                )
            time.sleep(0.2)
        # What became free when it ended is taken as well.
        stage.fill()

    def repair(self, stage: SmallDisk) -> None:
        stage.empty()


FAULTS = (FullDisk(),)
