"""Rows for the stats tests, their figures in slow and obvious Python, a deployment to tell them.

All goes through HTTP and commands, so that the way stats are kept can change under the tests.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from kernel.http.rate_limit import shared_counter
from tests.support.client import APIClient
from tests.support.commands import run
from tests.support.factories import make_key, make_user, utc
from users.models import User

STATS = "/api/v2/deployment/stats"
NOW = utc(2026, 5, 4, 12, 34).replace(second=56)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
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


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class Deployment:
    """A deployment that is told of rows, and asked, as by an owner; its clock is ours to set."""

    def __init__(self) -> None:
        self.now = NOW
        self._owner: User | None = None
        self._client: APIClient | None = None

    def travel(self, to: datetime | timedelta) -> None:
        self.now = to if isinstance(to, datetime) else self.now + to
        self._client = None

    @property
    def client(self) -> APIClient:
        """An owner's client, with a key that is good at this time."""
        if self._client is None:
            # Tests look up more new keys than an address may in a minute that stands still.
            shared_counter().clear()
            self._owner = self._owner or make_user("owner")
            token = make_key(self._owner, now=self.now).token
            self._client = APIClient(user=self._owner, token=token)
        return self._client

    def send(self, *rows: Any, kind: str = "agent") -> dict[str, Any]:
        """What is answered to a report of these rows."""
        told = [{"kind": kind, **row} for row in rows]
        answer = self.client.post_json(f"{STATS}/reports", orjson.dumps(told))
        assert answer.status_code == 200, answer.content
        verdicts: dict[str, Any] = answer.json()
        return verdicts

    def take(self, *rows: Any, kind: str = "agent") -> None:
        """Sends rows of which none is refused."""
        assert not self.send(*rows, kind=kind)["rejected"]

    def counts(self, *rows: Any, kind: str = "agent") -> tuple[int, int, int]:
        verdicts = self.send(*rows, kind=kind)
        return verdicts["accepted"], verdicts["duplicate"], len(verdicts["rejected"])

    def collect(self, at: datetime | None = None) -> dict[str, Any]:
        """The snapshot of the moment, as it is answered, and `rows` as the command says."""
        at = at or self.now
        said = run("collect_deployment_stats", "--at", text(at))
        assert f"Snapshot of {at.isoformat()}" in said
        return {**self.at(at), "rows": int(said.split(": ")[1].split()[0])}

    def at(self, moment: datetime) -> dict[str, Any]:
        answer = self.client.get(STATS, {"at": text(moment)})
        assert answer.status_code == 200, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def points(self, since: datetime, until: datetime, step: str) -> list[dict[str, Any]]:
        asked = {"since": text(since), "until": text(until), "step": step}
        answer = self.client.get(f"{STATS}/history", asked)
        assert answer.status_code == 200, answer.content
        found: list[dict[str, Any]] = answer.json()["points"]
        return found

    def prune(self) -> str:
        return self.job("prune_deployment_stats")

    def job(self, name: str) -> str:
        self.now += timedelta(microseconds=1)
        return run("run_job", name)


@contextmanager
def deployment_at(moment: datetime = NOW) -> Iterator[Deployment]:
    """A deployment whose clock stands at that moment."""
    found = Deployment()
    found.now = moment
    with patch("django.utils.timezone.now", lambda: found.now):
        yield found


def agrees(found: dict[str, Any], rows: list[dict[str, Any]], *, error: float = 1e-9) -> None:
    """Fails unless the snapshot has the figures that its rows have, one by one."""
    expected = Reference(rows, datetime.fromisoformat(found["collected_at"]))
    workspaces = found["workspaces"]
    assert found["rows"] == len(expected.in_window())
    assert workspaces["rx_bytes"] == expected.traffic("rx_bytes")
    assert workspaces["tx_bytes"] == expected.traffic("tx_bytes")
    assert found["session_count"] == expected.sessions()
    for name, fraction in (("p50", 0.5), ("p95", 0.95)):
        right = pytest.approx(expected.percentile(fraction), rel=error)
        assert workspaces["connection_latency_ms"][name] == right
