"""Rows for the stats tests, their statistics in slow and simple Python, and a test deployment.

Everything goes through HTTP and commands, so that tests do not depend on how stats are stored.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.utils import timezone

from kernel.telemetry import metrics
from stats.rollups.hours import AGENT_STATS
from tests.support.api.client import APIClient
from tests.support.api.sending import forget_counts
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
# The application with the name of a family is in this family, too.
FAMILY = {"cursor": "vscode", "code_server": "vscode", "zed": "ssh"} | {s: s for s in SESSIONS}


def agent_row(moment: datetime, *, agent: int = 1, **members: Any) -> dict[str, Any]:
    """Returns a row of the agent with that number, in the format of the API."""
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
    """Computes the statistics by their definitions, from each row."""

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

    def traffic(self, member: str, *, from_usage: bool = False) -> int:
        rows = self.measured() if from_usage else self.in_window()
        return min(int(sum(row.get(member, 0) for row in rows)), 2**63 - 1)

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
        """Returns the number of sessions by application, without zeros."""
        return _added(self.newest())

    def usage_sessions(self) -> dict[str, int]:
        """Adds up the usage rows of each agent's newest finished minute, by application."""
        until = self.at.replace(second=0, microsecond=0)
        rows = [r for r in self.in_window() if r.get("usage") and _minute(r) < until]
        newest = {
            agent: max(_minute(row) for row in rows if row["agent_id"] == agent)
            for agent in {row["agent_id"] for row in rows}
        }
        return _added(row for row in rows if _minute(row) == newest[row["agent_id"]])


def _added(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in rows:
        by_name = {
            name: count for name, count in (row.get("session_counts") or {}).items() if count
        }
        found.update(by_name or {kind: row.get(f"session_count_{kind}", 0) for kind in SESSIONS})
    return {name: count for name, count in found.items() if count}


def by_family(counts: dict[str, int]) -> dict[str, int]:
    found = dict.fromkeys(SESSIONS, 0)
    for name, count in counts.items():
        if name in FAMILY:
            found[FAMILY[name]] += count
    return found


def _minute(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["created_at"]).replace(second=0, microsecond=0)


def _age(row: dict[str, Any]) -> tuple[datetime, str]:
    return datetime.fromisoformat(row["created_at"]), row["id"]


def reference_workspaces(states: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Counts workspaces by state. `states` has one entry for each workspace."""
    counts = dict.fromkeys(("pending", "building", "running", "failed", "stopped"), 0)
    for state in states:
        for name in _states_of(state):
            counts[name] += 1
    return counts


def _states_of(state: dict[str, Any]) -> Iterable[str]:
    started, canceled, completed = (
        state.get(f"job_{event}_at") is not None for event in ("started", "canceled", "completed")
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
    """A deployment with a clock that tests set. An owner sends rows to it and reads its stats."""

    def __init__(self) -> None:
        self.now = NOW
        self._owner: User | None = None
        self._client: APIClient | None = None

    def travel(self, to: datetime | timedelta) -> None:
        self.now = to if isinstance(to, datetime) else self.now + to
        self._client = None

    @property
    def client(self) -> APIClient:
        """Returns an owner's client, with a key that is valid at this time."""
        if self._client is None:
            # With a frozen clock, tests exceed the limit of new keys per minute.
            forget_counts()
            self._owner = self._owner or make_user("owner")
            token = make_key(self._owner, now=self.now).token
            self._client = APIClient(user=self._owner, token=token)
        return self._client

    def send(self, *rows: Any, kind: str = "agent") -> dict[str, Any]:
        """Returns the result of a report with these rows."""
        body = orjson.dumps([{"kind": kind, **row} for row in rows])
        answer = self.client.post_json("/api/coderapi/v1/stats/agent-rows", body)
        if answer.status_code == 400:
            rejected = [_rejection(entry) for entry in answer.json()["validations"]]
            return {"accepted": 0, "duplicates": 0, "rejections": rejected}
        assert answer.status_code == 200, answer.content
        result: dict[str, Any] = answer.json()
        return result

    def take(self, *rows: Any, kind: str = "agent") -> None:
        """Sends valid rows."""
        assert not self.send(*rows, kind=kind)["rejections"]

    def counts(self, *rows: Any, kind: str = "agent") -> tuple[int, int, int]:
        """Returns the numbers of accepted, duplicate and rejected rows."""
        result = self.send(*rows, kind=kind)
        return result["accepted"], result["duplicates"], len(result["rejections"])

    def collect(self, at: datetime | None = None) -> dict[str, Any]:
        """Takes a snapshot. Returns the API's answer, and `rows` from the command's message.

        `apps` are the sessions by application.
        """
        at = at or self.now
        message = run("collect_deployment_stats", "--at", text(at))
        assert f"Snapshot of {at.isoformat()}" in message
        apps = self.at(at, wire="coderd")["session_count"]["apps"]
        return {
            **self.at(at),
            "rows": int(message.split(": ")[1].split()[0].replace(",", "")),
            "apps": {name: one["count"] for name, one in apps.items()},
        }

    def at(self, moment: datetime, *, wire: str = "documented") -> dict[str, Any]:
        answer = self.client.get(
            STATS, {"at": text(moment)}, headers={"Coderapi-Wire-Format": wire}
        )
        assert answer.status_code == 200, answer.content
        snapshot: dict[str, Any] = answer.json()
        return snapshot

    def points(self, since: datetime, until: datetime, step: str) -> list[dict[str, Any]]:
        parameters = {"since": text(since), "until": text(until), "step": step}
        answer = self.client.get("/api/coderapi/v1/stats/history", parameters)
        assert answer.status_code == 200, answer.content
        points: list[dict[str, Any]] = answer.json()["points"]
        return points

    def prune(self) -> str:
        return self.job("prune_deployment_stats")

    def job(self, name: str) -> str:
        self.now += timedelta(microseconds=1)
        return run("run_job", name)


def _rejection(entry: dict[str, str]) -> dict[str, Any]:
    """Converts a validation of an error to a rejected row."""
    row, _, field = entry["field"].partition(".")
    return {"row_number": int(row), "field": field, "detail": entry["detail"]}


@contextmanager
def deployment_at(moment: datetime = NOW) -> Iterator[Deployment]:
    """Yields a deployment without old hours, and freezes the clock at that moment."""
    drop_hours()
    deployment = Deployment()
    deployment.now = moment
    with patch("django.utils.timezone.now", lambda: deployment.now):
        yield deployment


def drop_hours() -> None:
    """Drops the partitions that earlier tests committed. Django only empties tables."""
    for hour in AGENT_STATS.starts():
        AGENT_STATS.drop(hour)


def agrees(
    snapshot: dict[str, Any],
    rows: list[dict[str, Any]],
    *,
    error: float = 1e-9,
    from_usage: bool = False,
) -> None:
    """Fails unless the snapshot has the statistics of its rows."""
    expected = Reference(rows, datetime.fromisoformat(snapshot["collected_at"]))
    workspaces = snapshot["workspaces"]
    assert snapshot["rows"] == len(expected.in_window())
    for member in ("rx_bytes", "tx_bytes"):
        assert workspaces[member] == expected.traffic(member, from_usage=from_usage)
    counts = expected.usage_sessions() if from_usage else expected.sessions()
    assert snapshot.get("apps", counts) == counts
    assert snapshot["session_count"] == by_family(counts)
    for name, fraction in (("p50", 0.5), ("p95", 0.95)):
        latency = pytest.approx(expected.percentile(fraction), rel=error)
        assert workspaces["connection_latency_ms"][name] == latency


def gauges() -> dict[tuple[str, ...], float]:
    metrics.discover()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.read_database_gauges(timezone.now())
        for sample in family.samples
    }
