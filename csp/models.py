from __future__ import annotations

import uuid
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from kernel.db.partitions import PartitionedTable

REPORTS = PartitionedTable("csp_report", timedelta(days=1))


class Group(models.Model):
    """All reports of one finding: the same thing blocked by the same directive on like pages.

    The key is derived from these four texts, so that every process knows it without asking.
    `count` is exact; reach says how many distinct pages, browsers, days and clients a day there
    were. A group outlives its reports.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    directive = models.CharField(max_length=64, blank=True)
    blocked = models.CharField(max_length=255, blank=True)
    document = models.CharField(max_length=1024, blank=True)
    disposition = models.CharField(max_length=16, blank=True)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    count = models.BigIntegerField(default=0)
    noise_count = models.BigIntegerField(default=0)
    pages = models.BigIntegerField(default=0)
    browsers = models.BigIntegerField(default=0)
    days = models.BigIntegerField(default=0)
    client_days = models.BigIntegerField(default=0)
    first_version = models.CharField(max_length=64, blank=True)
    last_version = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-client_days", "-pages", "-count", "id"]
        # Without columns that every report changes: PostgreSQL then updates the row alone.
        indexes = [
            models.Index(fields=["-client_days", "-pages"], name="csp_group_far"),
            models.Index(fields=["first_seen"], name="csp_group_first_seen"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(noise_count__gte=0, noise_count__lte=models.F("count")),
                name="csp_group_noise_within_count",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.directive or '(no directive)'} blocked {self.blocked}"

    @property
    def visible_count(self) -> int:
        """Counts the reports that no enabled noise rule has marked."""
        return self.count - self.noise_count


class HourCount(models.Model):
    """The number of a group's reports in an hour, by the noise rule that matched (0: none)."""

    pk = models.CompositePrimaryKey("group_id", "hour", "rule_id")
    group = models.ForeignKey(Group, models.CASCADE, db_index=False)
    hour = models.DateTimeField()
    rule_id = models.BigIntegerField(default=0)
    count = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(
                fields=["rule_id", "hour"],
                name="csp_hourcount_rule",
                condition=models.Q(rule_id__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 {self.count}"


class ReachMember(models.Model):
    """One distinct page, browser, day or client of a day of a group, as a keyed hash."""

    class Kind(models.IntegerChoices):
        PAGE = 1
        BROWSER = 2
        DAY = 3
        CLIENT_DAY = 4

    pk = models.CompositePrimaryKey("group_id", "kind", "member")
    group = models.ForeignKey(Group, models.CASCADE, db_index=False)
    kind = models.SmallIntegerField(choices=Kind)
    member = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.group_id}"


class Report(models.Model):
    """One violation that a browser reported, scrubbed. Partitioned by day of `received_at`.

    PostgreSQL's key is (id, received_at), since a unique key must hold what partitions; `id` alone
    is unique all the same, as one sequence gives it.
    """

    id = models.BigAutoField(primary_key=True)
    received_at = models.DateTimeField()
    occurred_at = models.DateTimeField()
    group = models.ForeignKey(
        Group, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="reports"
    )
    rule_id = models.BigIntegerField(null=True)
    shape = models.CharField(max_length=16)
    document_uri = models.TextField("document URI", blank=True)
    referrer = models.TextField(blank=True)
    blocked_uri = models.TextField("blocked URI", blank=True)
    effective_directive = models.TextField(blank=True)
    violated_directive = models.TextField(blank=True)
    original_policy = models.TextField(blank=True)
    disposition = models.CharField(max_length=64, blank=True)
    status_code = models.IntegerField(null=True)
    sample = models.TextField(blank=True)
    source_file = models.TextField(blank=True)
    line_number = models.IntegerField(null=True)
    column_number = models.IntegerField(null=True)
    browser = models.CharField(max_length=64, blank=True)
    user_agent = models.TextField(blank=True)
    client = models.BinaryField(max_length=16)
    coder_version = models.CharField(max_length=64, blank=True)
    extra = models.JSONField(default=dict)
    # The row stands for so many reports of its hour: more than one where only a sample is kept.
    weight = models.BigIntegerField(db_default=1, editable=False)

    class Meta:
        ordering = ["-received_at", "-id"]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="csp_report_received"),
            models.Index(fields=["group", "-received_at"], name="csp_report_group"),
            models.Index(
                fields=["rule_id", "-received_at"],
                name="csp_report_rule",
                condition=models.Q(rule_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.effective_directive or self.violated_directive} blocked {self.blocked_uri}"


class Batch(models.Model):
    """One commit of the writer. A commit whose answer was lost is looked up here.

    An import's batches have ids made from their content, and are kept so that it can go on where it
    was broken off.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    imported = models.BooleanField(db_default=False)
    committed_at = models.DateTimeField(db_default=Now(), db_index=True)

    def __str__(self) -> str:
        return str(self.id)


class ClientKey(models.Model):
    """The random key of one day's client hashes, which is deleted a day later."""

    day = models.DateField(primary_key=True)
    key = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.day}"


class NoiseRule(models.Model):
    """A rule that marks reports as noise: extensions, the browser's own pages, and the like."""

    class Target(models.TextChoices):
        SCHEME = "scheme", "scheme"
        HOST = "host", "host"
        PATH = "path", "path"
        DOCUMENT_SCHEME = "document-scheme", "document's scheme"
        USER_AGENT = "user-agent", "user agent"

    name = models.SlugField(max_length=64, unique=True)
    category = models.CharField(max_length=64)
    target = models.CharField(
        max_length=16,
        choices=Target,
        help_text="Scheme, host and path are those of the blocked address or of the source file.",
    )
    pattern = models.CharField(
        max_length=255,
        help_text="A scheme, such as moz-extension; a host, or *.host for it and all below it; "
        "a path's start, on every host or behind one; a part of the user agent.",
    )
    reason = models.TextField()
    source = models.CharField(max_length=255, blank=True, help_text="Where this is known from.")
    enabled = models.BooleanField(default=True)
    shipped = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["category", "name"]
        constraints = [
            models.UniqueConstraint(fields=["target", "pattern"], name="csp_noise_rule_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class IngestKey(models.Model):
    """Lets browsers of named origins report without a session token, and does nothing else.

    It is public: every reader of a page with such a policy sees it.
    """

    name = models.CharField(max_length=64, unique=True)
    key = models.CharField(max_length=64, unique=True, editable=False)
    origins = ArrayField(
        models.CharField(max_length=255),
        help_text="Comma-separated origins such as https://coder.example.com.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retired_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="From then on it is answered with 410, which tells browsers to stop.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
