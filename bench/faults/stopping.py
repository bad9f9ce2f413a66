"""SIGTERM under load, with connections that are kept though nobody uses them."""

from __future__ import annotations

import random
import time

from bench.faults.clients import KeepAlive, Load
from bench.faults.rounds import Fault, Round
from bench.faults.stages import Single

IDLE = 12
# The idle connections are used again, one after the other, within so long after the signal.
USE_AGAIN_SECONDS = 1.0


class Stopped(Fault[Single]):
    """SIGTERM under load with twelve idle keep-alive connections; started again."""

    name, stage, rounds, seconds = "sigterm", Single, 4, 0.0

    def __init__(self) -> None:
        self._found: list[str] = []

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        idle = KeepAlive(stage.service.port, count=IDLE)
        time.sleep(0.5)
        stage.service.terminate()
        ends = idle.use_again(within=USE_AGAIN_SECONDS)
        status = stage.service.wait()
        self._found = []
        if status != 0:
            self._found.append(f"exit status {status}")
        if ends["reset"]:
            self._found.append(f"{ends['reset']} of {IDLE} idle connections were reset")

    def repair(self, stage: Single) -> None:
        stage.service.start()

    def complaints(self, stage: Single, found: Round) -> list[str]:
        unanswered = sum(n for name, n in found.statuses.items() if name.endswith("no answer"))
        text = f"{unanswered} requests on open connections had no answer"
        return [*self._found, *([text] if unanswered else [])]


class StoppedWhileFrozen(Fault[Single]):
    """SIGTERM while PostgreSQL is frozen; thawed and started again."""

    name, stage, rounds, seconds = "sigterm-frozen", Single, 2, 0.0

    def __init__(self) -> None:
        self._found: list[str] = []

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        stage.cluster.freeze()
        time.sleep(2)
        begun = time.monotonic()
        stage.service.terminate()
        status = stage.service.wait()
        took = time.monotonic() - begun
        # A status of its own says that something had to be killed; more than 30 s is not bounded.
        self._found = []
        if took > 30 or status not in {0, 1}:
            self._found = [f"exit status {status} after {took:.1f} s"]

    def repair(self, stage: Single) -> None:
        stage.cluster.thaw()
        stage.service.start()

    def complaints(self, stage: Single, found: Round) -> list[str]:
        return self._found


FAULTS = (Stopped(), StoppedWhileFrozen())
