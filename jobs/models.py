from __future__ import annotations

from django.db import models


class JobRunQuerySet(models.QuerySet["JobRun"]):
    def unfinished(self) -> JobRunQuerySet:
        return self.filter(finished_at=None)

    def in_state(self, state: str) -> JobRunQuerySet:
        """Filters runs by `state`: running, failed or ok."""
        if state == "running":
            return self.unfinished()
        failed = ~models.Q(error="")
        return self.filter(failed if state == "failed" else ~failed).exclude(finished_at=None)


class JobRun(models.Model):
    """One run of a job. The unique constraint prevents two runs of a job at one scheduled time."""

    job_name = models.CharField(max_length=100, db_comment="The name of the job.")
    scheduled_at = models.DateTimeField(help_text="The scheduled time of the run.")
    started_at = models.DateTimeField(db_comment="When the run started.")
    finished_at = models.DateTimeField(
        null=True, blank=True, db_comment="When the run ended. NULL while it runs."
    )
    affected_rows = models.BigIntegerField(
        null=True, blank=True, help_text="The number of rows written or deleted."
    )
    summary = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="What the run wrote or deleted, if these are rows of several kinds.",
    )
    error = models.TextField(
        blank=True, default="", db_default="", db_comment="The error of a failed run, or empty."
    )
    process = models.CharField(
        max_length=255, help_text="The host and the process id of the run, such as web-1:17."
    )

    objects = JobRunQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [models.UniqueConstraint("job_name", "scheduled_at", name="jobs_run_unique")]
        indexes = [
            models.Index("started_at", name="jobs_run_started_at"),
            models.Index(
                "job_name", condition=models.Q(finished_at=None), name="jobs_run_unfinished"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_name} {self.scheduled_at:%Y-%m-%d %H:%M:%S}"

    @property
    def failed(self) -> bool:
        return bool(self.error)

    @property
    def state(self) -> str:
        """Returns running, failed or ok."""
        if self.finished_at is None:
            return "running"
        return "failed" if self.failed else "ok"
