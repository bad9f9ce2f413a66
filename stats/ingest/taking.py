"""The one sink for agent rows and workspace states, whichever way they come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction

from kernel.db.connections import unless_deadlocked
from stats.ingest import agents
from stats.ingest.agents import AgentRows, agent_rows
from stats.ingest.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    Member,
    Numbered,
    Rejection,
    Row,
    Verdicts,
    parse_each,
)
from stats.ingest.workspaces import take_workspaces

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Good rows of each kind, and those that were refused."""

    agents: AgentRows
    workspaces: Sequence[Row] = ()
    rejected: list[Rejection] = field(default_factory=list)


def ingest(rows: Iterable[Numbered], *, now: datetime, kind: str = "") -> Verdicts:
    """Takes in every good row, all in one transaction. Returns what happened to each.

    A row is a mapping and its number. `kind` is "agent" or "workspace"; without it each row names
    its own in its member `kind`. Rows that came before count as duplicates and change nothing.
    """
    return take_in(parse(rows, kind=kind), now=now)


def parse(rows: Iterable[Numbered], *, kind: str = "") -> Parsed:
    """Parses the rows, without a look at the database."""
    rejected: list[Rejection] = []
    sorted_rows = {kind: rows} if kind else _by_kind(rows, rejected=rejected)
    found, states = (
        parse_each(sorted_rows.get(kind, ()), members=members, rejected=rejected)
        for kind, members in MEMBERS.items()
    )
    return Parsed(agent_rows(found), states, rejected)


def _by_kind(
    rows: Iterable[Numbered], *, rejected: list[Rejection]
) -> Mapping[str, Iterable[Numbered]]:
    """Sorts the rows by the kind that each names."""
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


def take_in(parsed: Parsed, *, now: datetime) -> Verdicts:
    """Takes in the parsed rows, all in one transaction. Returns what happened to each."""
    found, verdicts = agents.prepare(parsed.agents, now=now)
    verdicts.add(unless_deadlocked(partial(_taken_in, found, parsed.workspaces)))
    verdicts.add(Verdicts(rejected=parsed.rejected))
    return verdicts


@transaction.atomic
def _taken_in(found: AgentRows, states: Sequence[Row]) -> Verdicts:
    verdicts = Verdicts()
    if found.rows:
        verdicts.add(agents.keep(found))
    if states:
        verdicts.add(take_workspaces(states))
    return verdicts
