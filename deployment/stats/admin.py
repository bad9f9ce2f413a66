from __future__ import annotations

from django.contrib import admin

from coderapi.admin_base import ReadOnlyAdmin
from deployment.stats.models import Snapshot, WorkspaceState


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = [
        "collected_at",
        "running",
        "stopped",
        "building",
        "pending",
        "failed",
        "rx_bytes",
        "tx_bytes",
        "latency_p50",
        "latency_p95",
        "row_count",
        "method",
        "duration_ms",
    ]
    list_filter = ["method", "build_version"]
    date_hierarchy = "collected_at"


@admin.register(WorkspaceState)
class WorkspaceStateAdmin(ReadOnlyAdmin):
    list_display = ["workspace_id", "transition", "build_number", "job_updated_at", "deleted"]
    list_filter = ["transition", "deleted"]
    search_fields = ["workspace_id"]
