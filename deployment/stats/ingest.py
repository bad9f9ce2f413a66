"""The one sink for agent rows and workspace states, whichever way they come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from deployment.stats import agents, workspaces
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.rows import AGENT_MEMBERS, WORKSPACE_MEMBERS, Member, RowError, parse_row

AGENT: Final = "agent"
WORKSPACE: Final = "workspace"
MEMBERS: dict[str, tuple[Member, ...]] = {AGENT: AGENT_MEMBERS, WORKSPACE: WORKSPACE_MEMBERS}
TAKE = {AGENT: agents.take, WORKSPACE: workspaces.take}


def ingest(rows: Iterable[tuple[int, Any]], *, now: datetime, kind: str = "") -> Verdicts:
    """Takes in every good row, all in one transaction, and says what became of each.

    A row is a mapping and its number. `kind` is "agent" or "workspace"; without it each row names
    its own in its member `kind`. Rows that came before count as duplicates and change nothing.
    """
    verdicts = Verdicts()
    batches = _parsed(rows, kind=kind, verdicts=verdicts)
    agents.prepare(batches[AGENT], now=now)
    with transaction.atomic():
        for name, batch in batches.items():
            if batch:
                verdicts.add(TAKE[name](batch, now=now))
    verdicts.rejected.sort(key=lambda rejection: rejection.row)
    return verdicts


def _parsed(
    rows: Iterable[tuple[int, Any]], *, kind: str, verdicts: Verdicts
) -> dict[str, list[tuple[Any, ...]]]:
    """The good rows' values by kind, each after its number."""
    batches: dict[str, list[tuple[Any, ...]]] = {AGENT: [], WORKSPACE: []}
    for number, value in rows:
        try:
            name = kind or _kind(value)
            batches[name].append((number, *parse_row(value, members=MEMBERS[name])))
        except RowError as error:
            verdicts.rejected.append(Rejection(number, error.field, error.detail))
    return batches


def _kind(value: Any) -> str:
    if not isinstance(value, Mapping):
        raise RowError("", "must be a JSON object")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in MEMBERS:
        raise RowError("kind", f"must be {AGENT} or {WORKSPACE}")
    return kind
