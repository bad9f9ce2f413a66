"""The one sink for agent rows and workspace states, whichever way they come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction

from deployment.stats import agents, workspaces
from deployment.stats.agent_rows import parse_agent_rows
from deployment.stats.agents import Arrivals
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    Member,
    Numbered,
    Row,
    parse_workspace_rows,
)
from kernel.db.connections import unless_deadlocked

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}
PARSE = {AGENT: parse_agent_rows, WORKSPACE: parse_workspace_rows}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Good rows, each of whose values come after its number, and what was refused."""

    agents: Arrivals | None = None
    workspaces: Sequence[Row] = ()
    rejected: list[Rejection] = field(default_factory=list)

    @property
    def hours(self) -> set[datetime]:
        """The hours whose partitions the rows need."""
        return self.agents.hours if self.agents else set()


def ingest(rows: Iterable[Numbered], *, now: datetime, kind: str = "") -> Verdicts:
    """Takes in every good row, all in one transaction, and says what became of each.

    A row is a mapping and its number. `kind` is "agent" or "workspace"; without it each row names
    its own in its member `kind`. Rows that came before count as duplicates and change nothing.
    """
    return take_in(parse(rows, kind=kind), now=now)


def parse(rows: Iterable[Numbered], *, kind: str = "") -> Parsed:
    """The rows' values, without a look at the database."""
    rejected: list[Rejection] = []
    sorted_rows = {kind: rows} if kind else _by_kind(rows, rejected=rejected)
    found = {name: PARSE[name](these, rejected=rejected) for name, these in sorted_rows.items()}
    return Parsed(agents.arrivals(found.get(AGENT, ())), found.get(WORKSPACE, ()), rejected)


def made_ready(parsed: Parsed, *, now: datetime) -> Parsed:
    """The same, with as much done of what follows as can be done without the database."""
    if not parsed.agents:
        return parsed
    return replace(parsed, agents=agents.made_ready(parsed.agents, now=now))


def _by_kind(
    rows: Iterable[Numbered], *, rejected: list[Rejection]
) -> Mapping[str, Iterable[Numbered]]:
    """The rows by the kind that each names."""
    found: dict[str, list[Numbered]] = {AGENT: [], WORKSPACE: []}
    for row in rows:
        number, value = row
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind in found:
            found[kind].append(row)
        else:
            rejected.append(_without_kind(number, value))
    return found


def _without_kind(number: int, value: Any) -> Rejection:
    if not isinstance(value, dict):
        return Rejection(number, "", "must be a JSON object")
    return Rejection(number, "kind", f"must be {AGENT} or {WORKSPACE}")


class Intake:
    """Takes in what was parsed, a part at a time, in the surrounding transaction."""

    def __init__(self) -> None:
        self._agents = agents.AgentIntake()

    def take(self, parsed: Parsed, *, now: datetime) -> Verdicts:
        """Keeps every good row of this part, after `prepare`; what became of each."""
        verdicts = Verdicts()
        if parsed.agents:
            verdicts.add(self._agents.take(parsed.agents, now=now))
        if parsed.workspaces:
            verdicts.add(workspaces.take(parsed.workspaces, now=now))
        verdicts.reject(parsed.rejected)
        return verdicts

    def fold(self) -> None:
        """Folds what was kept. To be called at the end of the transaction."""
        self._agents.fold()


def prepare(parsed: Parsed, *, now: datetime) -> None:
    """Makes the partitions that the rows need, outside the transaction that takes them in."""
    if parsed.agents:
        agents.prepare(parsed.agents, now=now)


def take_in(parsed: Parsed, *, now: datetime) -> Verdicts:
    """Takes in what was parsed, all in one transaction.

    An import, which takes rows in a part at a time, may have some of the same in another order.
    """
    prepare(parsed, now=now)
    return unless_deadlocked(partial(_taken_in, parsed, now=now))


@transaction.atomic
def _taken_in(parsed: Parsed, *, now: datetime) -> Verdicts:
    intake = Intake()
    verdicts = intake.take(parsed, now=now)
    intake.fold()
    return verdicts
