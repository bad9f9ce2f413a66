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
    about = "The number of open sessions, by kind."
    example = {"jetbrains": 3, "reconnecting_pty": 1, "ssh": 12, "vscode": 40}

    jetbrains = serializers.IntegerField(help_text="Sessions of JetBrains IDEs.")
    reconnecting_pty = serializers.IntegerField(help_text="Sessions of web terminals.")
    ssh = serializers.IntegerField(help_text="Sessions of SSH clients.")
    vscode = serializers.IntegerField(help_text="Sessions of VS Code.")


class ConnectionLatencySerializer(WireSerializer):
    component = "codersdk.WorkspaceConnectionLatencyMS"
    about = "The latency of connections to workspaces, in milliseconds."
    example = {"p50": 18.5, "p95": 121.0}

    p50 = serializers.FloatField(
        source="latency_p50", help_text="The median in milliseconds. -1: none was measured."
    )
    p95 = serializers.FloatField(
        source="latency_p95",
        help_text="The 95th percentile in milliseconds. -1: none was measured.",
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

    building = serializers.IntegerField(help_text="Workspaces whose newest build is under way.")
    connection_latency_ms = ConnectionLatencySerializer(
        source="*", help_text="The latency of connections to workspaces in the period."
    )
    failed = serializers.IntegerField(help_text="Workspaces whose newest build ended in an error.")
    pending = serializers.IntegerField(help_text="Workspaces whose newest build has not begun.")
    running = serializers.IntegerField(help_text="Workspaces that are started.")
    rx_bytes = serializers.IntegerField(help_text="The bytes received in the period.")
    stopped = serializers.IntegerField(help_text="Workspaces that are stopped.")
    tx_bytes = serializers.IntegerField(help_text="The bytes sent in the period.")


class DeploymentStatsSerializer(WireSerializer):
    component = "codersdk.DeploymentStats"
    about = "The figures of the deployment at one time, and of the minutes before it."
    example = {
        "aggregated_from": "2026-01-20T13:44:29Z",
        "collected_at": "2026-01-20T13:59:29Z",
        "next_update_at": "2026-01-20T13:59:59Z",
    }

    aggregated_from = serializers.DateTimeField(
        help_text="The beginning of the period that traffic and latency are about."
    )
    collected_at = serializers.DateTimeField(
        help_text="The time when the figures were taken, and the end of that period."
    )
    next_update_at = serializers.SerializerMethodField(
        help_text="The time when newer figures are due. Ask again then, not before."
    )
    session_count = SessionCountSerializer(
        source="session_counts", help_text="The sessions that were open when agents last reported."
    )
    workspaces = WorkspacesSerializer(
        source="*", help_text="The workspaces by state, with their traffic and latency."
    )

    @extend_schema_field(serializers.DateTimeField)
    def get_next_update_at(self, snapshot: Snapshot) -> str:
        due = snapshot.collected_at + refresh_interval()
        return serializers.DateTimeField().to_representation(due)


class RejectionSerializer(WireSerializer):
    component = "coderapi.RejectedRow"
    about = "A row that was refused."
    example = {"row": 3, "field": "created_at", "detail": "'today' is not a time."}

    row = serializers.IntegerField(
        help_text="The number of the row in the request, from 1. In JSON lines: of the line."
    )
    field = serializers.CharField(
        help_text="The member that is wrong. Empty: the row as a whole is."
    )
    detail = serializers.CharField(help_text="The reason, with what is expected.")


class VerdictsSerializer(WireSerializer):
    component = "coderapi.StatsVerdicts"
    about = "What became of the rows in a request."
    example = {"accepted": 2, "duplicate": 1}

    accepted = serializers.IntegerField(help_text="The number of rows that were stored.")
    duplicate = serializers.IntegerField(help_text="The number of rows that were known already.")
    rejected = RejectionSerializer(
        many=True, help_text="The rows that were refused. The others are stored all the same."
    )


class PointSerializer(WireSerializer):
    component = "coderapi.DeploymentStatsPoint"
    about = "The figures of one step of the history."
    example = {"at": "2026-01-20T13:00:00Z"}

    at = serializers.DateTimeField(help_text="The time when the step begins.")
    gap = serializers.BooleanField(
        required=False,
        help_text="True: nothing is known of the step, and the point has no figures. Else absent.",
    )
    session_count = SessionCountSerializer(
        required=False, help_text="The open sessions, as they were last seen in the step."
    )
    workspaces = WorkspacesSerializer(
        required=False,
        help_text="The workspaces by state, as they were last seen in the step. Traffic and "
        "latency are those of the whole step.",
    )

    def to_representation(self, instance: Point) -> Any:
        return super().to_representation(point_members(instance))


class HistorySerializer(WireSerializer):
    component = "coderapi.DeploymentStatsHistory"
    about = "The figures of the deployment in the past, in steps of equal length."
    example = {
        "since": "2026-01-20T13:00:00Z",
        "until": "2026-01-20T14:00:00Z",
        "step": 3_600_000_000_000,
    }

    since = serializers.DateTimeField(help_text="The time when the first step begins.")
    until = serializers.DateTimeField(help_text="The time when the last step ends.")
    step = serializers.IntegerField(help_text="The length of a step in nanoseconds.")
    points = PointSerializer(many=True, help_text="One point for each step, the oldest first.")
