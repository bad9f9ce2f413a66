"""Faults of database hosts: they freeze, are replaced by a standby, or drop all packets."""

from __future__ import annotations

import random

from bench.faults.clients import Load, crowd
from bench.faults.rounds import Fault, Round
from bench.faults.stages import Balanced, Pair, Single
from bench.service import WORKERS

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"


class Frozen(Fault[Single]):
    """SIGSTOP of every process of PostgreSQL for twelve seconds, with 150 more clients."""

    name, stage, rounds, seconds = "postgresql-frozen", Single, 3, 12.0

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        more = crowd(stage)
        stage.cluster.freeze()
        load.add(more)

    def repair(self, stage: Single) -> None:
        stage.cluster.thaw()


class Promotion(Fault[Pair]):
    """The primary stops. A second later the standby is promoted."""

    name, stage, rounds, seconds = "promotion", Pair, 3, 1.0

    def break_(self, stage: Pair, chance: random.Random, load: Load) -> None:
        stage.primary.stop(chance.choice(["immediate", "fast"]))

    def repair(self, stage: Pair) -> None:
        stage.promote()


class Vanished(Fault[Pair]):
    """The primary's host drops every packet, with 150 more clients. Promotion after 6 s."""

    name, stage, rounds, seconds = "host-vanishes", Pair, 3, 6.0

    def break_(self, stage: Pair, chance: random.Random, load: Load) -> None:
        more = crowd(stage)
        stage.proxies[stage.primary.home].order("silence")
        load.add(more)

    def repair(self, stage: Pair) -> None:
        stage.promote()


class FrozenPrimary(Fault[Pair]):
    """SIGSTOP of every process of the primary, which stays frozen. Promotion after 6 s."""

    name, stage, rounds, seconds = "frozen-primary-replaced", Pair, 3, 6.0

    def break_(self, stage: Pair, chance: random.Random, load: Load) -> None:
        more = crowd(stage)
        stage.primary.freeze()
        load.add(more)

    def repair(self, stage: Pair) -> None:
        stage.promote()

    def problems(self, stage: Pair, found: Round) -> list[str]:
        with stage.look() as connection:
            row = connection.execute(LISTENERS).fetchone()
        return [] if row == (WORKERS,) else [f"{row} processes listen to the new primary"]


class Returned(Fault[Single]):
    """The host drops every packet for twelve seconds and comes back without its connections."""

    name, stage, rounds, seconds = "host-returns", Single, 2, 12.0

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        stage.proxy.order("silence")

    def repair(self, stage: Single) -> None:
        stage.proxy.forward_to(stage.cluster.port)


class FrozenBehindProxy(Fault[Balanced]):
    """SIGSTOP of PostgreSQL for 12 s, behind HAProxy whose check of /readyz ends after 1 s."""

    name, stage, rounds, seconds = "frozen-behind-proxy", Balanced, 2, 12.0

    def break_(self, stage: Balanced, chance: random.Random, load: Load) -> None:
        stage.cluster.freeze()

    def repair(self, stage: Balanced) -> None:
        stage.cluster.thaw()

    def problems(self, stage: Balanced, found: Round) -> list[str]:
        lost = sum(
            number
            for status, number in found.statuses.items()
            if status.startswith("document ") and not status.endswith(" 200")
        )
        slow = found.slowest.get("readyz", 0.0)
        return [
            *([f"{lost} documents were refused"] if lost else []),
            *([f"/readyz took {slow} s"] if slow > 1.0 else []),
        ]


FAULTS = (Frozen(), Returned())
BEHIND_PROXY = (FrozenBehindProxy(),)
PAIR_FAULTS = (Promotion(), Vanished(), FrozenPrimary())
