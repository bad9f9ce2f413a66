from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Case, Count, Q, Value, When

from stats.states import STATES, WORDS

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class SessionCounts(models.Model):
    """The number of open sessions by application, as an agent has reported it.

    Four applications have a column of their own, because this needs a third of the space.
    """

    session_count_vscode = models.BigIntegerField(
        default=0,
        null=True,
        db_comment="Sessions of VS Code.",
    )
    session_count_jetbrains = models.BigIntegerField(
        default=0, null=True, db_comment="Sessions of JetBrains IDEs."
    )
    session_count_reconnecting_pty = models.BigIntegerField(
        default=0, null=True, db_comment="Sessions of web terminals."
    )
    session_count_ssh = models.BigIntegerField(
        default=0, null=True, db_comment="Sessions of SSH clients."
    )
    other_sessions = models.JSONField(
        null=True, db_comment="The sessions of all other applications by name. NULL without any."
    )

    class Meta:
        abstract = True


KIND_PREFIX = "session_count_"
SESSION_COLUMNS = tuple(field.name for field in SessionCounts._meta.local_fields)
KIND_COLUMNS = tuple(name for name in SESSION_COLUMNS if name.startswith(KIND_PREFIX))


class AgentStat(SessionCounts):
    """One report of one agent. The table is partitioned by the hour of `created_at`.

    PostgreSQL computes `latency_bucket`; see the migration for the formula.
    """

    pk = models.CompositePrimaryKey("created_at", "id")
    id = models.UUIDField(db_comment="The id of the row.")
    created_at = models.DateTimeField(db_comment="The time of the report.")
    user_id = models.UUIDField(db_comment="The id of the workspace's owner.")
    agent_id = models.UUIDField(db_comment="The id of the agent that sent the report.")
    workspace_id = models.UUIDField(db_comment="The id of the agent's workspace.")
    template_id = models.UUIDField(db_comment="The id of the workspace's template.")
    connections_by_proto = models.JSONField(
        default=dict, db_comment="The number of open connections by protocol."
    )
    connection_count = models.BigIntegerField(
        default=0, db_comment="The number of open connections."
    )
    rx_packets = models.BigIntegerField(
        default=0, db_comment="Packets received since the previous row of the agent."
    )
    rx_bytes = models.BigIntegerField(
        default=0, db_comment="Bytes received since the previous row of the agent."
    )
    tx_packets = models.BigIntegerField(
        default=0, db_comment="Packets sent since the previous row of the agent."
    )
    tx_bytes = models.BigIntegerField(
        default=0, db_comment="Bytes sent since the previous row of the agent."
    )
    connection_median_latency_ms = models.FloatField(
        default=-1, db_comment="The median latency in milliseconds. -1 if none was measured."
    )
    is_usage = models.BooleanField(
        default=False, db_comment="Whether this is a usage row of Coder."
    )
    latency_bucket = models.IntegerField(
        null=True,
        editable=False,
        db_comment="The bucket of the histogram. NULL without a latency above 0.",
    )

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
    """A minute whose agent rows have changed since its rollup was built."""

    minute = models.DateTimeField(db_index=True, db_comment="The start of the minute.")
    rows_were_deleted = models.BooleanField(
        default=False, db_comment="Whether rows were deleted, maybe the newest of an agent."
    )

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}"


class Rollup(models.Model):
    """The sums of all agent rows of one minute or one hour."""

    class Span(models.IntegerChoices):
        MINUTE = 60
        HOUR = 3600

    pk = models.CompositePrimaryKey("span_seconds", "starts_at")
    span_seconds = models.IntegerField(
        choices=Span, db_comment="60 for a minute, 3600 for an hour."
    )
    starts_at = models.DateTimeField(db_comment="The start of the minute or the hour.")
    row_count = models.BigIntegerField(default=0, db_comment="The number of agent rows.")
    measured_rx_bytes = models.DecimalField(
        max_digits=40,
        decimal_places=0,
        default=0,
        db_comment="Bytes received in rows with a latency.",
    )
    measured_tx_bytes = models.DecimalField(
        max_digits=40, decimal_places=0, default=0, db_comment="Bytes sent in rows with a latency."
    )
    unmeasured_rx_bytes = models.DecimalField(
        max_digits=40,
        decimal_places=0,
        null=True,
        db_comment="Bytes received in rows without a latency. NULL if they were not summed.",
    )
    unmeasured_tx_bytes = models.DecimalField(
        max_digits=40,
        decimal_places=0,
        null=True,
        db_comment="Bytes sent in rows without a latency. NULL if they were not summed.",
    )
    latency_buckets = ArrayField(
        models.IntegerField(),
        default=list,
        db_comment="The buckets of the latency histogram that have rows.",
    )
    latency_counts = ArrayField(
        models.BigIntegerField(),
        default=list,
        db_comment="The number of rows in each of these buckets.",
    )
    latency_p50_ms = models.FloatField(
        null=True,
        db_comment="The median latency in milliseconds. -1 if unmeasured. NULL for a minute.",
    )
    latency_p95_ms = models.FloatField(
        null=True,
        db_comment="The 95th percentile of the latency. -1 if unmeasured. NULL for a minute.",
    )
    built_at = models.DateTimeField(db_comment="When the sums were computed.")
    is_final = models.BooleanField(
        default=False,
        db_default=False,
        db_comment="Whether the hour is closed: its agent rows were dropped, so the sums stay.",
    )

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H:%M} +{self.span_seconds} s"


class NewestAgentStat(SessionCounts):
    """The newest row of each agent. If two rows have the same `created_at`, the higher id wins."""

    agent_id = models.UUIDField(primary_key=True, db_comment="The id of the agent.")
    created_at = models.DateTimeField(db_comment="The time of the report.")
    id = models.UUIDField(db_comment="The id of the agent row.")
    workspace_id = models.UUIDField(db_comment="The id of the agent's workspace.")

    def __str__(self) -> str:
        return str(self.agent_id)


class WorkspaceStateQuerySet(models.QuerySet["WorkspaceState"]):
    def with_word(self) -> WorkspaceStateQuerySet:
        """Annotates each workspace with its state as `word`."""
        whens = [When(condition, then=Value(word)) for word, condition in WORDS.items()]
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

    class Transition(models.TextChoices):
        START = "start"
        STOP = "stop"
        DELETE = "delete"

    workspace_id = models.UUIDField(primary_key=True, db_comment="The id of the workspace.")
    is_deleted = models.BooleanField(default=False, db_comment="Whether the workspace is deleted.")
    build_number = models.BigIntegerField(null=True, db_comment="The number of the newest build.")
    transition = models.CharField(
        max_length=8,
        choices=Transition,
        blank=True,
        default="",
        db_comment="What the build does: start, stop, delete or empty.",
    )
    job_started_at = models.DateTimeField(
        null=True, db_comment="When the job of the build started. Null if it has not."
    )
    job_canceled_at = models.DateTimeField(
        null=True, db_comment="When the job was canceled. Null if it was not."
    )
    job_completed_at = models.DateTimeField(
        null=True, db_comment="When the job completed. Null if it has not."
    )
    job_updated_at = models.DateTimeField(null=True, db_comment="When the job last changed.")
    error = models.TextField(blank=True, default="", db_comment="The error of the job, or empty.")

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
    Shape: `session_counts` {application: count}.
    """

    class Method(models.TextChoices):
        EXACT = "exact"
        HISTOGRAM = "histogram", "Estimated"

    class WorkspacesMethod(models.TextChoices):
        """The source of the workspace counts. With REPORTS, all counts are known.

        With BACKFILL, workspaces that reported in the window count as running. With BUILDS, they
        are computed from past builds, and without agent rows the sessions are also unknown.
        """

        REPORTS = "reports"
        BACKFILL = "backfill"
        BUILDS = "builds"

    collected_at = models.DateTimeField(
        unique=True, db_comment="The time of the snapshot, and the end of its window."
    )
    aggregated_from = models.DateTimeField(
        db_comment="The start of the window for traffic and latency."
    )
    pending = models.BigIntegerField(
        db_comment="Workspaces whose newest build has not started. 0 if unknown."
    )
    building = models.BigIntegerField(
        db_comment="Workspaces whose newest build is running. 0 if unknown."
    )
    running = models.BigIntegerField(db_comment="Workspaces that are started.")
    failed = models.BigIntegerField(
        db_comment="Workspaces whose newest build ended in an error. 0 if unknown."
    )
    stopped = models.BigIntegerField(db_comment="Workspaces that are stopped. 0 if unknown.")
    rx_bytes = models.BigIntegerField(db_comment="Bytes received in the window.")
    tx_bytes = models.BigIntegerField(db_comment="Bytes sent in the window.")
    latency_p50_ms = models.FloatField(
        db_comment="The median latency in milliseconds. -1 if none was measured."
    )
    latency_p95_ms = models.FloatField(
        db_comment="The 95th percentile of the latency. -1 if none was measured."
    )
    session_counts = models.JSONField(
        db_comment="The number of open sessions by application. Empty if unknown."
    )
    latency_method = models.CharField(
        "percentiles",
        max_length=16,
        choices=Method,
        db_comment="How the percentiles were computed: exact, or histogram.",
    )
    workspaces_method = models.CharField(
        max_length=16,
        choices=WorkspacesMethod,
        default=WorkspacesMethod.REPORTS,
        db_comment="How workspaces were counted. reports: by their states. backfill: only running "
        "is known. builds: all but pending are known.",
    )
    row_count = models.BigIntegerField(db_comment="The number of agent rows in the window.")
    duration_ms = models.FloatField(db_comment="How long the computation took, in milliseconds.")
    own_options_digest = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_comment="A digest of the options of coderapi at that time. Never those of Coder.",
    )
    buildinfo_version = models.CharField(
        max_length=128,
        blank=True,
        default="",
        db_comment="The version in the build info: the release of Coder, and that of coderapi.",
    )

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
        if self.workspaces_method == self.WorkspacesMethod.BACKFILL:
            return state == "running"
        return self.workspaces_method == self.WorkspacesMethod.REPORTS or state != "pending"

    @property
    def knows_sessions(self) -> bool:
        return bool(self.session_counts) and (
            self.workspaces_method != self.WorkspacesMethod.BUILDS or self.row_count > 0
        )
