"""The one sink for agent rows and workspace states, whichever way they come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from deployment.stats import agents, workspaces
from deployment.stats.agent_rows import parse_agent_row
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.rows import (
    AGENT_MEMBERS,
    WORKSPACE_MEMBERS,
    Member,
    RowError,
    parse_workspace_row,
)

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}
PARSE = {AGENT: parse_agent_row, WORKSPACE: parse_workspace_row}
TAKE = {AGENT: agents.take, WORKSPACE: workspaces.take}


@dataclass(frozen=True, slots=True)
class Parsed:
    """Good rows by kind, each row's values after its number, and what was refused."""

    rows: dict[str, list[tuple[Any, ...]]]
    rejected: list[Rejection] = field(default_factory=list)


def ingest(rows: Iterable[tuple[int, Any]], *, now: datetime, kind: str = "") -> Verdicts:
    """Takes in every good row, all in one transaction, and says what became of each.

    A row is a mapping and its number. `kind` is "agent" or "workspace"; without it each row names
    its own in its member `kind`. Rows that came before count as duplicates and change nothing.
    """
    return take_in(parse(rows, kind=kind), now=now)


def parse(rows: Iterable[tuple[int, Any]], *, kind: str = "") -> Parsed:
    """The rows' values, without a look at the database."""
    parsed = Parsed({AGENT: [], WORKSPACE: []})
    for number, value in rows:
        try:
            name = kind or _kind(value)
            parsed.rows[name].append((number, *PARSE[name](value)))
        except RowError as error:
            parsed.rejected.append(Rejection(number, error.field, error.detail))
    return parsed


def take_in(parsed: Parsed, *, now: datetime) -> Verdicts:
    """Takes in what was parsed, all in one transaction."""
    verdicts = Verdicts()
    agents.prepare(parsed.rows[AGENT], now=now)
    with transaction.atomic():
        for name, batch in parsed.rows.items():
            if batch:
                verdicts.add(TAKE[name](batch, now=now))
    verdicts.reject(parsed.rejected)
    return verdicts


def _kind(value: Any) -> str:
    if not isinstance(value, Mapping):
        raise RowError("", "must be a JSON object")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in MEMBERS:
        raise RowError("kind", f"must be {AGENT} or {WORKSPACE}")
    return kind
