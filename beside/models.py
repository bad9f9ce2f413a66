from __future__ import annotations

import uuid
from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.db import models

from kernel.db.singleton import Singleton
from kernel.durations import EPOCH


class CoderToken(models.Model):
    """A token of the Coder deployment, as the last run of the token policy found it.

    It is stored without its secret. `reasons` has one clause for each violated limit. `reported_at`
    is the time of the first run that found a violation. `warned_at` is the time of the e-mail to
    the token's user. Units: `lifetime_ns` nanoseconds; times UTC.
    """

    id = models.CharField(primary_key=True, max_length=10, editable=False)
    user_id = models.UUIDField(db_index=True)
    username = models.CharField(max_length=64)
    token_name = models.CharField(max_length=255, blank=True)
    scopes = ArrayField(models.CharField(max_length=128))
    lifetime_ns = models.BigIntegerField()
    created_at = models.DateTimeField()
    last_used = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    reasons = ArrayField(models.TextField(), default=list)
    reported_at = models.DateTimeField("violation reported", null=True)
    warned_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField()

    class Meta:
        ordering = ["username", "id"]
        verbose_name = "token of Coder"
        verbose_name_plural = "tokens of Coder"

    def __str__(self) -> str:
        return f"{self.token_name or self.id} of {self.username}"


class CoderRelease(Singleton):
    """The version that the Coder deployment has last reported."""

    version = models.CharField(max_length=64)
    changed_at = models.DateTimeField()

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

    All agent rows up to (last_row_created_at, last_row_id) were read, except late rows. No late row
    can arrive before `settled_until` any more. The follower last looked for late rows at
    `late_rows_read_at`. The next run reads the workspaces after `last_workspace_id`. Coder deleted
    the rows between `missing_since` and `missing_until` before they were read.
    `has_workspace_usage` is whether Coder has the experiment `workspace-usage`, or NULL if this is
    unknown.
    """

    class Reader(models.TextChoices):
        FOLLOWER = "follower"
        HISTORY = "history"

    reader = models.CharField(primary_key=True, max_length=16, choices=Reader)
    last_row_created_at = models.DateTimeField()
    last_row_id = models.UUIDField()
    settled_until = models.DateTimeField()
    late_rows_read_at = models.DateTimeField(default=EPOCH, db_default=EPOCH)
    last_workspace_id = models.UUIDField(default=uuid.UUID(int=0))
    read_at = models.DateTimeField()
    error = models.TextField(default="", blank=True)
    missing_since = models.DateTimeField(null=True)
    missing_until = models.DateTimeField(null=True)
    has_workspace_usage = models.BooleanField(null=True)

    def __str__(self) -> str:
        return f"{self.reader}: {self.last_row_created_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def of(cls, reader: str, *, start: datetime, now: datetime) -> tuple[ReaderProgress, bool]:
        """Returns the reader's row. Creates it, with this start, if it does not exist."""
        times = {"last_row_created_at": start, "settled_until": start, "read_at": now}
        defaults = {**times, "last_row_id": uuid.UUID(int=0)}
        return cls.objects.get_or_create(reader=reader, defaults=defaults)

    @property
    def gap(self) -> str:
        """Describes which rows are missing. Call it only if there is a gap."""
        since, until = (f"{m:%Y-%m-%d %H:%M}" for m in (self.missing_since, self.missing_until))
        return f"Agent rows from {since} to {until} UTC may be missing: Coder has deleted them."
