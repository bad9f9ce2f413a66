from __future__ import annotations

import uuid
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

from kernel.db.singleton import Singleton
from kernel.text.durations import EPOCH


class CoderToken(models.Model):
    """A token of the Coder deployment, as the last run of the token policy found it.

    It is stored without its secret.
    """

    id = models.CharField(
        primary_key=True,
        max_length=10,
        editable=False,
        db_comment="The first part of the token: 10 characters.",
    )
    user_id = models.UUIDField(db_index=True, db_comment="The id of the token's user.")
    username = models.CharField(max_length=64, db_comment="The name of the token's user.")
    token_name = models.CharField(max_length=255, blank=True, db_comment="The name of the token.")
    scopes = ArrayField(models.CharField(max_length=128), db_comment="What the token may do.")
    lifetime_ns = models.BigIntegerField(db_comment="The lifetime in nanoseconds.")
    created_at = models.DateTimeField(db_comment="When Coder created the token.")
    last_used = models.DateTimeField(null=True, db_comment="When the token was last used.")
    expires_at = models.DateTimeField(db_comment="When the token expires.")
    violations = ArrayField(
        models.TextField(),
        default=list,
        db_comment="One clause for each limit of the token policy that the token violates.",
    )
    violation_found_at = models.DateTimeField(
        "violation found", null=True, db_comment="When a run first found a violation."
    )
    warned_at = models.DateTimeField(
        null=True, db_comment="When the token's user got an e-mail about it."
    )
    read_at = models.DateTimeField(db_comment="When the token was last read.")

    class Meta:
        ordering = ["username", "id"]
        verbose_name = "token of Coder"
        verbose_name_plural = "tokens of Coder"

    def __str__(self) -> str:
        return f"{self.token_name or self.id} of {self.username}"


class CoderRelease(Singleton):
    """The version that the Coder deployment has last reported."""

    version = models.CharField(max_length=64, db_comment="The version.")
    changed_at = models.DateTimeField(db_comment="When Coder first reported this version.")

    def __str__(self) -> str:
        return self.version

    @classmethod
    def remember(cls, version: str, *, now: datetime) -> None:
        stored = cls.objects.filter(version=version)
        if not stored.exists():
            values = {"version": version, "changed_at": now}
            cls.objects.update_or_create(defaults=values)


class ReaderProgress(models.Model):
    """The progress of a reader of Coder's database: the follower, or the import of history.

    All agent rows up to (last_row_created_at, last_row_id) were read, except late rows.
    """

    class Reader(models.TextChoices):
        FOLLOWER = "follower"
        HISTORY = "history"

    reader_name = models.CharField(
        primary_key=True,
        max_length=16,
        choices=Reader,
        db_comment="follower: the job follow_coder_database. history: import_coder_history.",
    )
    last_row_created_at = models.DateTimeField(
        db_comment="The time of the last agent row that was read."
    )
    last_row_id = models.UUIDField(db_comment="The id of the last agent row that was read.")
    settled_until = models.DateTimeField(
        db_comment="No late row can arrive before this time any more."
    )
    late_rows_read_at = models.DateTimeField(
        default=EPOCH, db_default=EPOCH, db_comment="When the follower last looked for late rows."
    )
    last_workspace_id = models.UUIDField(
        default=uuid.UUID(int=0), db_comment="The next run reads the workspaces after this one."
    )
    read_at = models.DateTimeField(db_comment="When the reader last read.")
    problem = models.TextField(
        default="",
        blank=True,
        db_comment="The problem of the last complete run, or empty. The errors of others are in "
        "jobs_jobrun.",
    )
    missing_since = models.DateTimeField(
        null=True, db_comment="Coder deleted rows after this time before they were read."
    )
    missing_until = models.DateTimeField(null=True, db_comment="The end of the time of these rows.")
    has_usage_experiment = models.BooleanField(
        null=True, db_comment="Whether Coder has the experiment workspace-usage. NULL if unknown."
    )

    def __str__(self) -> str:
        return f"{self.reader_name}: {self.last_row_created_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def of(cls, reader: str, *, start: datetime, now: datetime) -> tuple[ReaderProgress, bool]:
        """Returns the reader's row. Creates it, with this start, if it does not exist."""
        times = {"last_row_created_at": start, "settled_until": start, "read_at": now}
        defaults = {**times, "last_row_id": uuid.UUID(int=0)}
        return cls.objects.get_or_create(reader_name=reader, defaults=defaults)

    @property
    def newest_row_at(self) -> datetime | None:
        """Returns the time of the newest agent row that was read, or None before the first one."""
        return self.last_row_created_at if self.last_row_id.int else None

    @property
    def gap(self) -> str:
        """Describes which rows are missing. Call it only if there is a gap."""
        since, until = (f"{m:%Y-%m-%d %H:%M}" for m in (self.missing_since, self.missing_until))
        return f"Agent rows from {since} to {until} UTC may be missing: Coder has deleted them."
