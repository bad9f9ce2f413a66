from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.db.sql import MAX_INTEGER
from kernel.http import wire
from kernel.http.views.rendering import WireSerializer
from stats.applications import application, by_family
from stats.history.points import Point
from stats.ingest.members import AGENT_MEMBERS, REQUIRED, WORKSPACE_MEMBERS, Member
from stats.models import Snapshot
from stats.selectors import refresh_interval
from stats.states import STATES

_APPLICATIONS = {
    "type": "object",
    "description": "Sessions by application. Applications without sessions are absent.",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "description": "The number of sessions."},
            "display_name": {"type": "string", "description": "The label of the application."},
            "family": {
                "type": "string",
                "description": "The member of the session counts that includes the application, "
                "or `unknown`.",
            },
            "icon": {
                "type": "string",
                "description": "The path of its icon in Coder's dashboard. Empty without an icon.",
            },
        },
        "required": ["count", "display_name", "family", "icon"],
    },
}


class SessionCountSerializer(WireSerializer):
    """Renders the number of sessions by application, as in `Snapshot.session_counts`."""

    component = "codersdk.SessionCountDeploymentStats"
    about = "The number of open sessions."
    example = {
        "apps": {
            "vscode": {
                "count": 40,
                "display_name": "VS Code",
                "family": "vscode",
                "icon": "/icon/code.svg",
            }
        },
        "jetbrains": 3,
        "reconnecting_pty": 1,
        "ssh": 12,
        "vscode": 40,
    }

    apps = serializers.SerializerMethodField()
    jetbrains = serializers.IntegerField(help_text="Sessions of JetBrains IDEs.")
    reconnecting_pty = serializers.IntegerField(help_text="Sessions of web terminals.")
    ssh = serializers.IntegerField(help_text="Sessions of SSH clients.")
    vscode = serializers.IntegerField(help_text="Sessions of VS Code and of editors based on it.")

    @extend_schema_field(_APPLICATIONS)
    def get_apps(self, counts: Mapping[str, int]) -> dict[str, Any]:
        return {
            name: {"count": count, **_described(name)} for name, count in counts.items() if count
        }

    def to_representation(self, instance: Mapping[str, int]) -> Any:
        members = {"apps": self.get_apps(instance), **by_family(instance)}
        return wire.apply(self.component, dict(sorted(members.items())))


@lru_cache(maxsize=1_000)
def _described(name: str) -> dict[str, str]:
    return asdict(application(name))


class ConnectionLatencySerializer(WireSerializer):
    component = "codersdk.WorkspaceConnectionLatencyMS"
    about = "The latency of connections to workspaces, in milliseconds."
    example = {"p50": 18.5, "p95": 121.0}

    p50 = serializers.FloatField(
        source="latency_p50_ms", help_text="The median in milliseconds, or -1 if none was measured."
    )
    p95 = serializers.FloatField(
        source="latency_p95_ms",
        help_text="The 95th percentile in milliseconds, or -1 if none was measured.",
    )


class WorkspacesSerializer(WireSerializer):
    component = "codersdk.WorkspaceDeploymentStats"
    about = "The number of workspaces by state, and their traffic."
    example = {
        "building": 2,
        "failed": 1,
        "pending": 0,
        "running": 57,
        "rx_bytes": 9_126_805_504,
        "stopped": 140,
        "tx_bytes": 48_318_382_080,
    }

    building = serializers.IntegerField(help_text="Workspaces whose newest build is running.")
    connection_latency_ms = ConnectionLatencySerializer(
        source="*", help_text="The latency of connections to workspaces in the period."
    )
    failed = serializers.IntegerField(help_text="Workspaces whose newest build ended in an error.")
    pending = serializers.IntegerField(help_text="Workspaces whose newest build has not started.")
    running = serializers.IntegerField(help_text="Workspaces that are started.")
    rx_bytes = serializers.IntegerField(help_text="The bytes received in the period.")
    stopped = serializers.IntegerField(help_text="Workspaces that are stopped.")
    tx_bytes = serializers.IntegerField(help_text="The bytes sent in the period.")


class DeploymentStatsSerializer(WireSerializer):
    about = (
        "A snapshot of the deployment: workspaces and sessions at one time, and traffic and "
        "latency in the minutes before it."
    )
    example = {
        "aggregated_from": "2026-01-20T13:44:29Z",
        "collected_at": "2026-01-20T13:59:29Z",
        "next_update_at": "2026-01-20T13:59:59Z",
    }

    aggregated_from = serializers.DateTimeField(
        help_text="The start of the period for traffic and latency."
    )
    collected_at = serializers.DateTimeField(
        help_text="The time of the snapshot. It is also the end of the period."
    )
    next_update_at = serializers.SerializerMethodField(
        help_text="The time when the next snapshot is due. Send the next request after this time."
    )
    session_count = SessionCountSerializer(
        source="session_counts",
        help_text="The number of sessions that were open in the last report of each agent.",
    )
    workspaces = WorkspacesSerializer(
        source="*", help_text="The number of workspaces by state, their traffic and latency."
    )

    @extend_schema_field(serializers.DateTimeField)
    def get_next_update_at(self, snapshot: Snapshot) -> str:
        due = snapshot.collected_at + refresh_interval()
        return serializers.DateTimeField().to_representation(due)


def _row_schema(kind: str, thing: str, members: Iterable[Member]) -> dict[str, Any]:
    described = f"The type of the row. `{kind}` means {thing}."
    own = {"kind": {"enum": [kind], "type": "string", "description": described}}
    required = ["kind", *(member.name for member in members if member.default is REQUIRED)]
    return {
        "type": "object",
        "properties": own | {member.name: member.schema for member in members},
        "required": sorted(required),
        "additionalProperties": False,
    }


class AgentRowSerializer(WireSerializer):
    """Describes agent rows in the schema.

    `stats.ingest.rows` parses the rows without this serializer, because that is faster.
    """

    component = "coderapi.AgentRow"
    about = (
        "A report of an agent. A member that is null is treated as absent. A row with an unknown "
        "member is rejected."
    )
    example = {
        "kind": "agent",
        "id": "5f3c1a52-0d0e-4c5b-9d0a-3a1f7f0c2b11",
        "created_at": "2026-01-20T13:59:12.345678Z",
        "user_id": "0f4c2b7e-54b4-4a0a-9c0e-6f5b0f3f5d11",
        "agent_id": "9b1d5b8e-3a55-4a39-8a0e-0d8b0f7f6a01",
        "workspace_id": "7c2f9a34-6f0b-4d3e-9c51-2f6f1b7a9e21",
        "template_id": "3e8a7d10-1c2b-4f5a-8b9c-0d1e2f3a4b5c",
        "connections_by_proto": {"TCP": 3},
        "connection_count": 3,
        "rx_packets": 812,
        "rx_bytes": 91_268,
        "tx_packets": 1024,
        "tx_bytes": 483_183,
        "session_count_vscode": 1,
        "session_count_jetbrains": 0,
        "session_count_reconnecting_pty": 0,
        "session_count_ssh": 2,
        "connection_median_latency_ms": 18.5,
        "usage": False,
    }
    schema = _row_schema("agent", "an agent row", AGENT_MEMBERS)


class WorkspaceStateSerializer(WireSerializer):
    """Describes workspace states in the schema. `stats.ingest.rows` parses them."""

    component = "coderapi.WorkspaceState"
    about = "The newest build of a workspace, and the provisioner job of this build."
    example = {
        "kind": "workspace",
        "workspace_id": "7c2f9a34-6f0b-4d3e-9c51-2f6f1b7a9e21",
        "deleted": False,
        "build_number": 12,
        "transition": "start",
        "job_started_at": "2026-01-20T08:01:02.5Z",
        "job_canceled_at": None,
        "job_completed_at": "2026-01-20T08:02:30Z",
        "job_updated_at": "2026-01-20T08:02:30Z",
        "error": "",
    }
    schema = _row_schema("workspace", "a workspace state", WORKSPACE_MEMBERS)


class RejectionSerializer(WireSerializer):
    component = "coderapi.RejectedRow"
    about = "A rejected row."
    example = {"row_number": 3, "field": "created_at", "detail": "'today' is not a time."}

    row_number = serializers.IntegerField(
        help_text="The number of the row in the request. The first row is 1. For JSON lines, this "
        "is the line number."
    )
    field = serializers.CharField(
        help_text="The name of the invalid member. Empty if the whole row is invalid."
    )
    detail = serializers.CharField(help_text="The reason why the row was rejected.")


class IngestResultSerializer(WireSerializer):
    component = "coderapi.StatsIngestResult"
    about = "The result of a request: how many rows were stored, and which rows were rejected."
    example = {"accepted": 2, "duplicates": 1}

    accepted = serializers.IntegerField(help_text="The number of rows that were stored.")
    duplicates = serializers.IntegerField(
        help_text="The number of rows that changed nothing: the row is stored already, or a newer "
        "state of its workspace is."
    )
    rejections = RejectionSerializer(
        many=True, help_text="The rejected rows. All other rows were stored."
    )


class PointSerializer(WireSerializer):
    component = "coderapi.DeploymentStatsPoint"
    about = "The statistics of one step of the history."
    example = {"starts_at": "2026-01-20T13:00:00Z"}

    starts_at = serializers.DateTimeField(help_text="The start of the step.")
    is_gap = serializers.BooleanField(
        required=False, help_text="True if the step has no data. Otherwise absent."
    )
    session_count = SessionCountSerializer(
        required=False,
        help_text="The number of open sessions in the last snapshot of the step. Absent if it is "
        "unknown.",
    )
    workspaces = WorkspacesSerializer(
        required=False,
        help_text="The number of workspaces by state in the last snapshot of the step, and the "
        "traffic and latency of the whole step.",
    )

    def to_representation(self, instance: Point) -> Any:
        """Returns the members of a point. A gap has only the members `starts_at` and `is_gap`.

        The fields would take ten times as long for the up to 2,000 points of a response.
        """
        newest = instance.newest
        if newest is None:
            return {"starts_at": instance.at, "is_gap": True}
        latency = {"p50": instance.latency_p50_ms, "p95": instance.latency_p95_ms}
        return {
            "starts_at": instance.at,
            **(
                {"session_count": _render_sessions(newest.session_counts)}
                if newest.knows_sessions
                else {}
            ),
            "workspaces": {
                **{state: getattr(newest, state) for state in STATES},
                "connection_latency_ms": wire.apply(ConnectionLatencySerializer.component, latency),
                "rx_bytes": min(instance.rx_bytes, MAX_INTEGER),
                "tx_bytes": min(instance.tx_bytes, MAX_INTEGER),
            },
        }


_render_sessions = SessionCountSerializer().to_representation


class HistorySerializer(WireSerializer):
    component = "coderapi.DeploymentStatsHistory"
    about = "The statistics of a period in the past, divided into steps of equal length."
    example = {
        "since": "2026-01-20T13:00:00Z",
        "until": "2026-01-20T14:00:00Z",
        "step_ns": 3_600_000_000_000,
    }

    since = serializers.DateTimeField(help_text="The start of the first step.")
    until = serializers.DateTimeField(help_text="The end of the last step.")
    step_ns = serializers.IntegerField(help_text="The length of a step in nanoseconds.")
    points = PointSerializer(many=True, help_text="One point for each step, oldest first.")
