"""Faults of the disk: the private PostgreSQL runs out of space."""

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
    """The disk of the private PostgreSQL is full until PostgreSQL ends, for at most 20 seconds."""

    name, stage, rounds, seconds = "disk-full", SmallDisk, 3, 3.0

    def break_(self, stage: SmallDisk, chance: random.Random, load: Load) -> None:
        before, deadline = stage.postmaster, time.monotonic() + FULL_SECONDS
        while stage.postmaster == before and time.monotonic() < deadline:
            stage.fill()
            with suppress(psycopg.Error, OSError), stage.look() as connection:
                # Write a whole segment of the WAL, so that PostgreSQL needs a new one.
                connection.execute("SELECT pg_logical_emit_message(true, '', repeat('x', 1 << 24))")
            time.sleep(0.2)
        # Fill the space that PostgreSQL freed when it ended.
        stage.fill()

    def repair(self, stage: SmallDisk) -> None:
        stage.empty()


FAULTS = (FullDisk(),)
