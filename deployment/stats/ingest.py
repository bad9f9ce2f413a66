"""The one sink for agent rows and workspace states, whichever way they come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from deployment.stats import agents, workspaces
from deployment.stats.agent_rows import parse_agent_rows
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    Member,
    Numbered,
    Row,
    parse_workspace_rows,
)

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}
PARSE = {AGENT: parse_agent_rows, WORKSPACE: parse_workspace_rows}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Good rows by kind, each row's values after its number, and what was refused.

    `ready` is of the agents' rows, where these were made ready.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    rejected: list[Rejection] = field(default_factory=list)
    ready: agents.Ready | None = None


def ingest(rows: Iterable[Numbered], *, now: datetime, kind: str = "") -> Verdicts:
    """Takes in every good row, all in one transaction, and says what became of each.

    A row is a mapping and its number. `kind` is "agent" or "workspace"; without it each row names
    its own in its member `kind`. Rows that came before count as duplicates and change nothing.
    """
    return take_in(parse(rows, kind=kind), now=now)


def parse(rows: Iterable[Numbered], *, kind: str = "") -> Parsed:
    """The rows' values, without a look at the database."""
    parsed = Parsed()
    sorted_rows = {kind: rows} if kind else _by_kind(rows, rejected=parsed.rejected)
    for name, numbered in sorted_rows.items():
        parsed.rows[name] = PARSE[name](numbered, rejected=parsed.rejected)
    return parsed


def made_ready(parsed: Parsed, *, now: datetime) -> Parsed:
    """The same, with as much done of what follows as can be done without the database."""
    rows = parsed.rows.get(AGENT)
    if not rows:
        return parsed
    ready = agents.ready(rows, now=now)
    return replace(parsed, rows=parsed.rows | {AGENT: ready.rows}, ready=ready)


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


def take_in(parsed: Parsed, *, now: datetime) -> Verdicts:
    """Takes in what was parsed, all in one transaction."""
    verdicts = Verdicts()
    of_agents, of_workspaces = (parsed.rows.get(kind, []) for kind in (AGENT, WORKSPACE))
    agents.prepare(of_agents, now=now)
    with transaction.atomic():
        if of_agents:
            verdicts.add(agents.take(of_agents, now=now, ready=parsed.ready))
        if of_workspaces:
            verdicts.add(workspaces.take(of_workspaces, now=now))
    verdicts.reject(parsed.rejected)
    return verdicts
