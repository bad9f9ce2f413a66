from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

__all__ = [
    "AgentStat",
    "AheadAgentStat",
    "ClosedHour",
    "FileImport",
    "LateAgentStat",
    "LatencyBucket",
    "MinuteSum",
    "NewestAgentStat",
    "Rung",
    "SliceSum",
    "Snapshot",
    "StaleSpan",
    "UncheckedHour",
    "UsageMinute",
    "WorkspaceState",
]


class SessionCounts(models.Model):
    """How many sessions of each kind an agent reported."""

    session_count_vscode = models.BigIntegerField(default=0)
    session_count_jetbrains = models.BigIntegerField(default=0)
    session_count_reconnecting_pty = models.BigIntegerField(default=0)
    session_count_ssh = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class AgentStat(SessionCounts):
    """One report of one agent. Partitioned by the hour of `created_at`, dropped by whole hours.

    In SQL there is no key, since a partitioned table's must hold what it is cut by; `id` is unique
    in each partition.
    Units: latency in milliseconds, -1 where none was measured.
    """

    id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField()
    user_id = models.UUIDField()
    agent_id = models.UUIDField()
    workspace_id = models.UUIDField()
    template_id = models.UUIDField()
    connections_by_proto = models.JSONField(default=dict)
    connection_count = models.BigIntegerField(default=0)
    rx_packets = models.BigIntegerField(default=0)
    rx_bytes = models.BigIntegerField(default=0)
    tx_packets = models.BigIntegerField(default=0)
    tx_bytes = models.BigIntegerField(default=0)
    connection_median_latency_ms = models.FloatField(default=-1)
    usage = models.BooleanField(default=False)
    # In SQL it is clock_timestamp(), as a transaction may take rows in for seconds.
    arrived_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="agent_stat_created_at"),
            models.Index(fields=["agent_id", "created_at"], name="agent_stat_of_agent"),
        ]

    def __str__(self) -> str:
        return str(self.id)


class LateAgentStat(models.Model):
    """A row that came after its hour's raw rows were due to go: folded, and only its key kept."""

    id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.id)


class ClosedHour(models.Model):
    """An hour whose raw rows are dropped, and the fingerprints of these, one after the other."""

    start = models.DateTimeField(primary_key=True)
    row_count = models.BigIntegerField(default=0, db_default=0)
    fingerprints = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}"


class MinuteSum(models.Model):
    """All rows of one whole minute, added up. Traffic is that of rows with a measured latency.

    `sliced_count` of the rows are in slices, too. Where it is less than all, as of those that came
    late or once slices were forgotten, the minute's slices do not tell of it.
    """

    minute = models.DateTimeField(primary_key=True)
    row_count = models.BigIntegerField()
    sliced_count = models.BigIntegerField(default=0, db_default=0)
    measured_count = models.BigIntegerField()
    rx_bytes = models.DecimalField(max_digits=40, decimal_places=0)
    tx_bytes = models.DecimalField(max_digits=40, decimal_places=0)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class LatencyBucket(models.Model):
    """How many rows of one minute had a latency within one bucket of the logarithmic scale.

    In SQL the key is (minute, bucket).
    """

    minute = models.DateTimeField(primary_key=True)
    bucket = models.IntegerField()
    row_count = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} #{self.bucket}"


class SliceSum(models.Model):
    """Rows of one bucket in five seconds, added up: of the newest minutes, for a window's edges.

    Rows without a measured latency are in a bucket of their own, and their traffic does not count.
    """

    pk = models.CompositePrimaryKey("slice", "bucket")
    slice = models.DateTimeField()
    bucket = models.IntegerField()
    row_count = models.BigIntegerField()
    rx_bytes = models.DecimalField(max_digits=40, decimal_places=0)
    tx_bytes = models.DecimalField(max_digits=40, decimal_places=0)

    def __str__(self) -> str:
        return f"{self.slice:%Y-%m-%d %H:%M:%S} #{self.bucket}"


class UsageMinute(models.Model):
    """The sessions of one agent's rows of usage in one whole minute, added up."""

    pk = models.CompositePrimaryKey("agent_id", "minute")
    agent_id = models.UUIDField()
    minute = models.DateTimeField(db_index=True)
    session_count_vscode = models.DecimalField(max_digits=40, decimal_places=0)
    session_count_jetbrains = models.DecimalField(max_digits=40, decimal_places=0)
    session_count_reconnecting_pty = models.DecimalField(max_digits=40, decimal_places=0)
    session_count_ssh = models.DecimalField(max_digits=40, decimal_places=0)

    def __str__(self) -> str:
        return f"{self.agent_id} {self.minute:%Y-%m-%d %H:%M}"


class NewestAgentStat(SessionCounts):
    """The newest row of an agent: by `created_at`, then by id."""

    agent_id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField()
    id = models.UUIDField()

    def __str__(self) -> str:
        return str(self.agent_id)


class AheadAgentStat(SessionCounts):
    """A row whose clock ran ahead of ours: it may be its agent's newest once its time has come."""

    id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField(db_index=True)
    agent_id = models.UUIDField()

    def __str__(self) -> str:
        return str(self.id)


class WorkspaceState(models.Model):
    """What is known of one workspace: its newest build, and the provisioner job of that build."""

    class Transition(models.TextChoices):
        START = "start"
        STOP = "stop"
        DELETE = "delete"

    workspace_id = models.UUIDField(primary_key=True)
    deleted = models.BooleanField(default=False)
    build_number = models.BigIntegerField(null=True)
    transition = models.CharField(max_length=8, choices=Transition, blank=True, default="")
    job_started_at = models.DateTimeField(null=True)
    job_canceled_at = models.DateTimeField(null=True)
    job_completed_at = models.DateTimeField(null=True)
    job_updated_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(transition__in=["", "start", "stop", "delete"]),
                name="workspace_state_transition_known",
            ),
        ]

    def __str__(self) -> str:
        return str(self.workspace_id)


class Snapshot(models.Model):
    """The deployment's figures at one moment, over the window (aggregated_from, collected_at].

    Units: traffic in bytes; latency in milliseconds, -1 where none was measured.
    Shape: `session_counts` {kind: count}; `latency_histogram` [[bucket, rows], …], by bucket.
    """

    class Method(models.TextChoices):
        EXACT = "exact"
        HISTOGRAM = "histogram"

    collected_at = models.DateTimeField(unique=True)
    aggregated_from = models.DateTimeField()
    pending = models.BigIntegerField()
    building = models.BigIntegerField()
    running = models.BigIntegerField()
    failed = models.BigIntegerField()
    stopped = models.BigIntegerField()
    rx_bytes = models.BigIntegerField()
    tx_bytes = models.BigIntegerField()
    latency_p50 = models.FloatField()
    latency_p95 = models.FloatField()
    session_counts = models.JSONField()
    latency_histogram = ArrayField(ArrayField(models.BigIntegerField(), size=2), default=list)
    method = models.CharField(max_length=16, choices=Method)
    source = models.CharField(max_length=16, default="reports")
    row_count = models.BigIntegerField()
    duration_ms = models.FloatField()
    configuration_hash = models.CharField(max_length=64, blank=True, default="")
    build_version = models.CharField(max_length=128, blank=True, default="")

    class Meta:
        ordering = ["-collected_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(aggregated_from__lt=models.F("collected_at")),
                name="snapshot_window_not_empty",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.collected_at:%Y-%m-%d %H:%M:%S}"


class Rung(models.Model):
    """One step of the ladder that history is kept on: 5 minutes, an hour or a day, all added up.

    Workspaces and sessions are those of the newest snapshot in it; without one it is a gap.
    Units: `span` seconds. Shape: `latency_histogram` as in a snapshot; `workspaces` {state: count},
    `session_counts` {kind: count}.
    """

    span = models.IntegerField()
    start = models.DateTimeField()
    row_count = models.BigIntegerField()
    rx_bytes = models.DecimalField(max_digits=40, decimal_places=0)
    tx_bytes = models.DecimalField(max_digits=40, decimal_places=0)
    latency_histogram = ArrayField(ArrayField(models.BigIntegerField(), size=2), default=list)
    collected_at = models.DateTimeField(null=True)
    workspaces = models.JSONField(default=dict)
    session_counts = models.JSONField(default=dict)
    build_version = models.CharField(max_length=128, blank=True, default="")
    configuration_hash = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["span", "start"], name="rung_once"),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} +{self.span} s"


class StaleSpan(models.Model):
    """Five minutes of which something came since their rungs were built."""

    start = models.DateTimeField(primary_key=True)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}"


class UncheckedHour(models.Model):
    """An hour whose rows are still to be looked for in the others, and how often some came.

    Since the last did, it has been compared with the hours up to `compared_to`.
    """

    start = models.DateTimeField(primary_key=True)
    marks = models.BigIntegerField(default=1, db_default=1)
    compared_to = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}"


class FileImport(models.Model):
    """A file that is being taken in: how many of its records are in, and a checksum of these."""

    fingerprint = models.CharField(primary_key=True, max_length=64)
    records = models.BigIntegerField()
    checksum = models.BigIntegerField(default=0, db_default=0)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.fingerprint
