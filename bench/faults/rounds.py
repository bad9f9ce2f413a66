"""One round: start the load, break, repair, wait for the recovery, and settle the accounts."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.faults.clients import Load
from bench.faults.ledger import Account, Sent, disagreements, settle
from bench.faults.service import crash_problems, frequent_lines
from bench.faults.stages import Stage
from bench.load import BenchError

MAX_AWAY_SECONDS = 10.0
MAX_HEALTH_SECONDS = 2.0
# A request that waits for the database gets a 503 after five seconds. A busy machine needs more.
MAX_ANSWER_SECONDS = 6.0
# A round waits this long for a recovery without help.
RECOVERY_SECONDS = 30.0
CALM_SECONDS = 1.0
# A log must stay readable, whatever the number of requests that fail.
MAX_LOG_LINES = 100


@dataclass(slots=True)
class Round:
    """The result of one round. `away` is None if the service did not recover."""

    fault: Fault[Any]
    number: int
    accounts: dict[str, Account] = field(default_factory=dict)
    away: float | None = None
    by_hand: bool = False
    slowest: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    # Connections that were reset while they were used, if the fault counts them.
    resets: int = 0
    log: dict[str, int] = field(default_factory=dict)
    log_lines: int = 0
    seconds: float = 0.0
    # Used again after all rounds of a stage, when late commits are visible.
    sent: Sent = field(default_factory=Sent)

    @property
    def total(self) -> Account:
        return sum(self.accounts.values(), Account())

    @property
    def healthz(self) -> float:
        return self.slowest.get("healthz", 0.0)

    @property
    def slowest_answer(self) -> float:
        return max(self.slowest.values(), default=0.0)

    @property
    def met(self) -> bool:
        total = self.total
        clean = not (total.lost or total.doubled or total.refused_there or self.problems)
        back = self.away is not None and self.away <= self.fault.max_away and not self.by_hand
        prompt = self.slowest_answer <= MAX_ANSWER_SECONDS
        return clean and back and prompt and self.healthz <= MAX_HEALTH_SECONDS


class Fault[S: Stage]:
    """A fault under load. The docstring of a subclass is printed in the table of results."""

    name = ""
    stage: type[S]
    rounds = 3
    # The time between the fault and its repair.
    seconds = 0.5
    max_away = MAX_AWAY_SECONDS
    # A pattern of the reason that the log must name.
    reason = ""
    # Other problems of the last round.
    _found: Sequence[str] = ()

    def break_(self, stage: S, chance: random.Random, load: Load) -> None:
        """Breaks something. Faults with their own `play` do not use it."""

    def repair(self, stage: S) -> None:
        """Repairs the fault as an operator or the machine does."""

    def problems(self, stage: S, found: Round) -> list[str]:
        """Returns other problems of the round."""
        return [*self._found]

    def play(self, stage: S, found: Round, chance: random.Random) -> None:
        """Plays one round of the fault."""
        with Load(stage.service) as load:
            time.sleep(CALM_SECONDS + chance.random())
            try:
                self.break_(stage, chance, load)
                time.sleep(self.seconds)
            finally:
                self.repair(stage)
            load.repaired()
            found.away = load.seconds_away(at_most=RECOVERY_SECONDS)
            if found.away is None:
                found.problems.append(f"still in trouble: {', '.join(load.troubled())}")
                found.by_hand = True
                stage.restart_by_hand()
                time.sleep(CALM_SECONDS)
        keep(load, found)


def keep(load: Load, found: Round) -> None:
    """Copies the observations of the load into the round."""
    found.sent = load.sent
    found.slowest = {kind: round(course.slowest, 3) for kind, course in load.courses.items()}
    found.failed = {kind: f"{c.failed} of {c.asked}" for kind, c in load.courses.items()}
    found.statuses = dict(sorted(load.sent.statuses.items()))


def play[S: Stage](fault: Fault[S], stage: S, number: int, chance: random.Random) -> Round:
    """Plays one round of the fault, and settles its accounts."""
    found = Round(fault, number)
    with _measured(found, stage, reason=fault.reason):
        stage.renew()
        _ensure_ready(stage)
        fault.play(stage, found, chance)
        found.problems += fault.problems(stage, found)
    settle_round(found, stage)
    _print(found)
    return found


@contextmanager
def _measured(found: Round, stage: Stage, *, reason: str) -> Iterator[None]:
    begun, offset = time.monotonic(), stage.service.log_size()
    try:
        yield
    except (BenchError, OSError, psycopg.Error) as error:
        found.problems.append(f"{type(error).__name__}: {str(error)[:500]}")
    found.seconds = round(time.monotonic() - begun, 1)
    log = stage.service.logged_since(offset)
    found.log, found.log_lines = frequent_lines(log), log.count("\n")
    if found.log_lines > MAX_LOG_LINES:
        found.problems.append(f"{found.log_lines} lines in the log")
    # A line that repeats is logged again after some minutes, so an earlier round may have it.
    if not re.search(reason, stage.service.logged_since(0)):
        found.problems.append("the log does not name the reason")
    found.problems += crash_problems(log)


def _ensure_ready(stage: Stage) -> None:
    if not stage.service.is_ready():
        stage.restart_by_hand()


def settle_round(found: Round, stage: Stage) -> None:
    """Compares what the clients sent with what PostgreSQL stored.

    Adds the differences to the problems of the round. Called again after a stage, when late commits
    are visible.
    """
    try:
        with stage.look() as connection:
            found.accounts = settle(found.sent, connection)
            wrong = [text for text in disagreements(connection) if text not in found.problems]
    except (OSError, psycopg.Error, BenchError) as error:
        wrong = [f"the database cannot be read: {error}"]
    found.problems += wrong


def _print(found: Round) -> None:
    total = found.total
    away = "did not come back" if found.away is None else f"away {found.away:.1f} s"
    sys.stderr.write(
        f"{'ok  ' if found.met else 'FAIL'} {found.fault.name} {found.number}: "
        f"{total.found}/{total.acknowledged} found, {total.lost} lost, {total.doubled} doubled, "
        f"{total.refused_there} of {total.refused} 503 there, {away}, "
        f"healthz {found.healthz:.2f} s, slowest {found.slowest_answer:.1f} s, "
        f"{found.seconds:.0f} s in all"
        f"{'; ' + '; '.join(found.problems)[:400] if found.problems else ''}\n"
    )
    sys.stderr.flush()
