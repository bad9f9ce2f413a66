from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, Count, Q, Value, When

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class SessionCounts(models.Model):
    """The number of open sessions by application, as an agent has reported it.

    Four applications have a column of their own, because this needs a third of the space.
    `other_sessions` are the counts of all other applications by name, or NULL without any. If the
    sessions of a row are unknown, the four columns are NULL.
    """

    session_count_vscode = models.BigIntegerField(default=0, null=True)
    session_count_jetbrains = models.BigIntegerField(default=0, null=True)
    session_count_reconnecting_pty = models.BigIntegerField(default=0, null=True)
    session_count_ssh = models.BigIntegerField(default=0, null=True)
    other_sessions = models.JSONField(null=True)

    class Meta:
        abstract = True


KIND_PREFIX = "session_count_"
SESSION_COLUMNS = tuple(field.name for field in SessionCounts._meta.local_fields)
KIND_COLUMNS = tuple(name for name in SESSION_COLUMNS if name.startswith(KIND_PREFIX))


class AgentStat(SessionCounts):
    """One report of one agent. The table is partitioned by the hour of `created_at`.

    PostgreSQL computes `latency_bucket`; see the migration for the formula. `latency_bucket` is
    NULL if the latency is 0 or was not measured.
    Units: latency in milliseconds, -1 if none was measured.
    """

    pk = models.CompositePrimaryKey("created_at", "id")
    id = models.UUIDField()
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
    is_usage = models.BooleanField(default=False)
    latency_bucket = models.IntegerField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["agent_id", "created_at"], name="agent_stat_of_agent"),
            models.Index(
                fields=["created_at"], name="agent_stat_usage", condition=Q(is_usage=True)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class StaleMinute(models.Model):
    """Marks a minute whose agent rows have changed since its rollup was built.

    `rows_were_deleted` is true if rows of the minute were deleted, maybe the newest of an agent.
    """

    minute = models.DateTimeField(db_index=True)
    rows_were_deleted = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Rollup(models.Model):
    """The sums of all rows of one minute or one hour.

    `rx_bytes` and `tx_bytes` include only rows with a latency above 0, and `unmeasured_rx_bytes`
    and `unmeasured_tx_bytes` only the other rows. The latter are NULL in rollups of releases that
    did not sum them. In the latency histogram, bucket `latency_buckets[i]` contains
    `latency_counts[i]` rows. If `is_closed` is true, the agent rows of the hour are dropped, and
    the hour is never built again. The latencies are the percentiles of a built hour.
    """

    class Span(models.IntegerChoices):
        MINUTE = 60
        HOUR = 3600

    pk = models.CompositePrimaryKey("span_seconds", "starts_at")
    span_seconds = models.IntegerField(choices=Span)
    starts_at = models.DateTimeField()
    row_count = models.BigIntegerField(default=0)
    rx_bytes = models.DecimalField(max_digits=40, decimal_places=0, default=0)
    tx_bytes = models.DecimalField(max_digits=40, decimal_places=0, default=0)
    unmeasured_rx_bytes = models.DecimalField(max_digits=40, decimal_places=0, null=True)
    unmeasured_tx_bytes = models.DecimalField(max_digits=40, decimal_places=0, null=True)
    latency_buckets = ArrayField(models.IntegerField(), default=list)
    latency_counts = ArrayField(models.BigIntegerField(), default=list)
    latency_p50_ms = models.FloatField(null=True)
    latency_p95_ms = models.FloatField(null=True)
    built_at = models.DateTimeField()
    is_closed = models.BooleanField(default=False, db_default=False)

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} +{self.span_seconds} s"


class NewestAgentStat(SessionCounts):
    """The newest row of each agent. If two rows have the same `created_at`, the higher id wins."""

    agent_id = models.UUIDField(primary_key=True)
    created_at = models.DateTimeField()
    id = models.UUIDField()
    workspace_id = models.UUIDField()

    def __str__(self) -> str:
        return str(self.agent_id)


_STARTED, _CANCELED, _COMPLETED = (
    Q(**{f"job_{event}_at__isnull": False}) for event in ("started", "canceled", "completed")
)
_SUCCEEDED = _COMPLETED & ~_CANCELED & Q(error="")
# The states that snapshots count, for workspaces that are not deleted. Coder counts a job that was
# canceled with an error before it started as pending and as failed.
STATES = {
    "pending": ~_STARTED,
    "building": _STARTED & ~_CANCELED & ~_COMPLETED,
    "running": Q(transition="start") & _SUCCEEDED,
    "failed": ~Q(error="") & (_CANCELED | _COMPLETED),
    "stopped": Q(transition="stop") & _SUCCEEDED,
}
# The first true condition determines the state of a workspace in the admin.
_WORDS = {
    "deleted": Q(is_deleted=True) | Q(transition="delete") & _SUCCEEDED,
    "failed": STATES["failed"],
    "pending": STATES["pending"],
    "building": STATES["building"],
    "canceled": _CANCELED,
    "running": STATES["running"],
    "stopped": STATES["stopped"],
}


def state_after(transition: str, *, has_error: bool, is_canceled: bool) -> str:
    """Returns the one of STATES that a workspace has after an ended job, or ""."""
    if has_error:
        return "failed"
    return "" if is_canceled else {"start": "running", "stop": "stopped"}.get(transition, "")


class WorkspaceStateQuerySet(models.QuerySet["WorkspaceState"]):
    def with_word(self) -> WorkspaceStateQuerySet:
        """Annotates each workspace with its state as `word`."""
        whens = [When(condition, then=Value(word)) for word, condition in _WORDS.items()]
        word = Case(*whens, default=Value("unknown"), output_field=models.CharField())
        return self.annotate(word=word)

    def in_state(self, word: str) -> WorkspaceStateQuerySet:
        return self.with_word().filter(Q(("word", word)))

    def counts(self) -> dict[str, int]:
        """Counts the workspaces in each of STATES."""
        counts = {state: Count("pk", filter=condition) for state, condition in STATES.items()}
        return self.filter(is_deleted=False).aggregate(**counts)


class WorkspaceState(models.Model):
    """The newest build of one workspace, and the provisioner job of this build."""

    WORDS = tuple(_WORDS)

    class Transition(models.TextChoices):
        START = "start"
        STOP = "stop"
        DELETE = "delete"

    workspace_id = models.UUIDField(primary_key=True)
    is_deleted = models.BooleanField(default=False)
    build_number = models.BigIntegerField(null=True)
    transition = models.CharField(max_length=8, choices=Transition, blank=True, default="")
    job_started_at = models.DateTimeField(null=True)
    job_canceled_at = models.DateTimeField(null=True)
    job_completed_at = models.DateTimeField(null=True)
    job_updated_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")

    objects = WorkspaceStateQuerySet.as_manager()

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
    """The statistics of the deployment at one time.

    Traffic and latency are those of the window (aggregated_from, collected_at].
    Units: traffic in bytes; latency in milliseconds, -1 if none was measured.
    Shape: `session_counts` {application: count}, or {} if the sessions are unknown.
    """

    class Method(models.TextChoices):
        EXACT = "exact"
        HISTOGRAM = "histogram", "Estimated"

    class Source(models.TextChoices):
        """The source of the workspace counts. With REPORTS, all counts are known.

        With BACKFILL, workspaces that reported in the window count as running. With BUILDS, they
        are computed from past builds, and without agent rows the sessions are also unknown.
        """

        REPORTS = "reports"
        BACKFILL = "backfill"
        BUILDS = "builds"

    collected_at = models.DateTimeField(unique=True)
    aggregated_from = models.DateTimeField()
    pending = models.BigIntegerField()
    building = models.BigIntegerField()
    running = models.BigIntegerField()
    failed = models.BigIntegerField()
    stopped = models.BigIntegerField()
    rx_bytes = models.BigIntegerField()
    tx_bytes = models.BigIntegerField()
    latency_p50_ms = models.FloatField()
    latency_p95_ms = models.FloatField()
    session_counts = models.JSONField()
    method = models.CharField("percentiles", max_length=16, choices=Method)
    source = models.CharField(max_length=16, choices=Source, default=Source.REPORTS)
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

    def knows_state(self, state: str) -> bool:
        """Returns whether the number of workspaces in the state is known."""
        if self.source == self.Source.BACKFILL:
            return state == "running"
        return self.source == self.Source.REPORTS or state != "pending"

    @property
    def knows_sessions(self) -> bool:
        return bool(self.session_counts) and (
            self.source != self.Source.BUILDS or self.row_count > 0
        )
