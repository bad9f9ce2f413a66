from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kernel.http.rendering import WireSerializer
from stats.history.points import Point, point_members
from stats.models import Snapshot
from stats.selectors import refresh_interval


class SessionCountSerializer(WireSerializer):
    component = "codersdk.SessionCountDeploymentStats"
    example = {"jetbrains": 3, "reconnecting_pty": 1, "ssh": 12, "vscode": 40}

    jetbrains = serializers.IntegerField(help_text="Sessions of JetBrains IDEs.")
    reconnecting_pty = serializers.IntegerField(help_text="Web terminals.")
    ssh = serializers.IntegerField(help_text="SSH sessions.")
    vscode = serializers.IntegerField(help_text="Sessions of VS Code.")


class ConnectionLatencySerializer(WireSerializer):
    component = "codersdk.WorkspaceConnectionLatencyMS"
    example = {"p50": 18.5, "p95": 121.0}

    p50 = serializers.FloatField(
        source="latency_p50", help_text="The median in milliseconds; -1 where none was measured."
    )
    p95 = serializers.FloatField(
        source="latency_p95",
        help_text="The 95th percentile in milliseconds; -1 where none was measured.",
    )


class WorkspacesSerializer(WireSerializer):
    component = "codersdk.WorkspaceDeploymentStats"
    example = {
        "building": 2,
        "failed": 1,
        "pending": 0,
        "running": 57,
        "rx_bytes": 9_126_805_504,
        "stopped": 140,
        "tx_bytes": 48_318_382_080,
    }

    building = serializers.IntegerField(help_text="Workspaces whose newest build is under way.")
    connection_latency_ms = ConnectionLatencySerializer(
        source="*", help_text="Latency of connections to workspaces in the window."
    )
    failed = serializers.IntegerField(help_text="Workspaces whose newest build ended in an error.")
    pending = serializers.IntegerField(help_text="Workspaces whose newest build has not begun.")
    running = serializers.IntegerField(help_text="Workspaces that were started.")
    rx_bytes = serializers.IntegerField(help_text="Bytes received in the window.")
    stopped = serializers.IntegerField(help_text="Workspaces that were stopped.")
    tx_bytes = serializers.IntegerField(help_text="Bytes sent in the window.")


class DeploymentStatsSerializer(WireSerializer):
    component = "codersdk.DeploymentStats"
    example = {
        "aggregated_from": "2026-01-20T13:44:29Z",
        "collected_at": "2026-01-20T13:59:29Z",
        "next_update_at": "2026-01-20T13:59:59Z",
    }

    aggregated_from = serializers.DateTimeField(help_text="Where the window begins.")
    collected_at = serializers.DateTimeField(help_text="When the figures were taken.")
    next_update_at = serializers.SerializerMethodField(help_text="When newer figures are due.")
    session_count = SessionCountSerializer(
        source="session_counts", help_text="Sessions by kind, of each agent's newest report."
    )
    workspaces = WorkspacesSerializer(source="*", help_text="Workspaces by state, and traffic.")

    @extend_schema_field(serializers.DateTimeField)
    def get_next_update_at(self, snapshot: Snapshot) -> str:
        due = snapshot.collected_at + refresh_interval()
        return serializers.DateTimeField().to_representation(due)


class RejectionSerializer(WireSerializer):
    component = "coderapi.RejectedRow"

    row = serializers.IntegerField(help_text="The row's number from 1; of JSON lines, its line's.")
    field = serializers.CharField(help_text="The member that was refused; empty for the row.")
    detail = serializers.CharField(help_text="What was expected of it.")


class VerdictsSerializer(WireSerializer):
    component = "coderapi.StatsVerdicts"

    accepted = serializers.IntegerField(help_text="Rows that were taken.")
    duplicate = serializers.IntegerField(help_text="Rows that told nothing new.")
    rejected = RejectionSerializer(many=True, help_text="Rows that were refused, and why.")


class PointSerializer(WireSerializer):
    component = "coderapi.DeploymentStatsPoint"

    at = serializers.DateTimeField(help_text="Where the step begins.")
    gap = serializers.BooleanField(
        required=False, help_text="True where no snapshot was taken; then there is nothing more."
    )
    session_count = SessionCountSerializer(
        required=False, help_text="Sessions by kind, of the newest snapshot in the step."
    )
    workspaces = WorkspacesSerializer(
        required=False,
        help_text="Workspaces of the newest snapshot in the step; its own traffic and latency.",
    )

    def to_representation(self, instance: Point) -> Any:
        return super().to_representation(point_members(instance))


class HistorySerializer(WireSerializer):
    component = "coderapi.DeploymentStatsHistory"

    since = serializers.DateTimeField(help_text="Where the first step begins.")
    until = serializers.DateTimeField(help_text="Where the last step ends.")
    step = serializers.IntegerField(help_text="The length of a step in nanoseconds.")
    points = PointSerializer(many=True, help_text="One for each step, oldest first.")
