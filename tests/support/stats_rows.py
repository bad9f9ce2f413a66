"""Rows for the stats tests, and what they come to: slowly, obviously, in plain Python."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

WINDOW = timedelta(minutes=15)
SESSIONS = ("vscode", "jetbrains", "reconnecting_pty", "ssh")


def agent_row(moment: datetime, *, agent: int = 1, **members: Any) -> dict[str, Any]:
    """A row as it is sent, of the agent with that number."""
    return {
        "id": str(uuid.uuid4()),
        "created_at": moment.isoformat(),
        "user_id": str(uuid.UUID(int=1)),
        "agent_id": str(uuid.UUID(int=agent)),
        "workspace_id": str(uuid.UUID(int=agent)),
        "template_id": str(uuid.UUID(int=1)),
        **members,
    }


def workspace_row(number: int, **members: Any) -> dict[str, Any]:
    return {"workspace_id": str(uuid.UUID(int=number)), "build_number": 1, **members}


@dataclass
class Reference:
    """The figures by their definitions, read off the rows one by one."""

    rows: list[dict[str, Any]]
    at: datetime

    def in_window(self) -> list[dict[str, Any]]:
        return [
            row
            for row in self.rows
            if self.at - WINDOW < datetime.fromisoformat(row["created_at"]) <= self.at
        ]

    def measured(self) -> list[dict[str, Any]]:
        return [r for r in self.in_window() if r.get("connection_median_latency_ms", -1) > 0]

    def traffic(self, member: str) -> int:
        return min(int(sum(row.get(member, 0) for row in self.measured())), 2**63 - 1)

    def percentile(self, fraction: float) -> float:
        latencies = sorted(row["connection_median_latency_ms"] for row in self.measured())
        if not latencies:
            return -1
        place = fraction * (len(latencies) - 1)
        low, high = float(latencies[math.floor(place)]), float(latencies[math.ceil(place)])
        return low + (high - low) * (place - math.floor(place))

    def newest(self) -> Iterable[dict[str, Any]]:
        newest: dict[str, dict[str, Any]] = {}
        for row in sorted(self.in_window(), key=_age):
            newest[row["agent_id"]] = row
        return newest.values()

    def sessions(self) -> dict[str, int]:
        return {
            kind: sum(row.get(f"session_count_{kind}", 0) for row in self.newest())
            for kind in SESSIONS
        }

    def usage_sessions(self) -> dict[str, int]:
        """Of each agent, its rows of usage in its newest minute that is over, added up."""
        until = self.at.replace(second=0, microsecond=0)
        rows = [r for r in self.in_window() if r.get("usage") and _minute(r) < until]
        newest = {
            agent: max(_minute(row) for row in rows if row["agent_id"] == agent)
            for agent in {row["agent_id"] for row in rows}
        }
        counted = [row for row in rows if _minute(row) == newest[row["agent_id"]]]
        return {
            kind: sum(row.get(f"session_count_{kind}", 0) for row in counted) for kind in SESSIONS
        }


def _minute(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_at"]).replace(second=0, microsecond=0)


def _age(row: dict[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(row["created_at"]), row["id"]


def reference_workspaces(states: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many workspaces are in each state; `states` has one for each workspace."""
    counts = dict.fromkeys(("pending", "building", "running", "failed", "stopped"), 0)
    for state in states:
        for name in _states_of(state):
            counts[name] += 1
    return counts


def _states_of(state: dict[str, Any]) -> Iterable[str]:
    started, canceled, completed = (
        state.get(f"job_{what}_at") is not None for what in ("started", "canceled", "completed")
    )
    failed = bool(state.get("error"))
    if state.get("deleted"):
        return
    if not started:
        yield "pending"
    elif not canceled and not completed:
        yield "building"
    if failed and (canceled or completed):
        yield "failed"
    if completed and not canceled and not failed:
        yield from {"start": ["running"], "stop": ["stopped"]}.get(state["transition"], [])
