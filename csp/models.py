from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from csp.directives import cause
from csp.scrubbing.address import OTHER_SITE
from kernel.db.partitions import PartitionedTable

REPORTS = PartitionedTable("csp_report", timedelta(days=1))


# The reports and clients of a group are counted over this number of days (UTC), including today.
WINDOW_DAYS = 30


def midnight(moment: datetime) -> datetime:
    """Returns the start of the day (UTC)."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def whole_hour(moment: datetime) -> datetime:
    """Returns the start of the hour. Reports are counted by hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def start_of_retention(now: datetime) -> datetime:
    """Returns the midnight (UTC) before which everything has expired.

    If CODERAPI_CSP_RETENTION is 0, nothing expires, so it returns the earliest time.

    Reports are deleted only when the partition of their whole day is dropped, and a group must not
    be deleted before its reports.
    """
    if not settings.CSP_RETENTION:
        return datetime.min.replace(tzinfo=UTC)
    return midnight(now - settings.CSP_RETENTION)


def window_start(now: datetime) -> datetime:
    """Returns the midnight (UTC) at which the window of the numbers of groups begins.

    The window contains today and the WINDOW_DAYS - 1 days before, or fewer if the retention is
    shorter.
    """
    return max(midnight(now) - timedelta(days=WINDOW_DAYS - 1), start_of_retention(now))


def window(now: datetime) -> dict[str, Any]:
    """Returns the window of the numbers of groups. Shape: coderapi.CSPWindow."""
    start = window_start(now)
    return {"since": start, "days": (midnight(now) - start).days + 1}


class State(models.TextChoices):
    """The states of a group that are stored. `csp.triage.states` derives the current state."""

    NEW = "new"
    ACKNOWLEDGED = "acknowledged"
    IGNORED = "ignored"
    RESOLVED = "resolved"


class GroupQuerySet(models.QuerySet["Group"]):
    def visible(self) -> GroupQuerySet:
        """Returns the groups with reports that are not noise."""
        return self.filter(noise_rule=None)

    def of_site(self, site: str) -> GroupQuerySet:
        """Returns the groups of the site, or of all sites if it is ""."""
        return self.filter(site=site) if site else self

    def expired(self, now: datetime) -> GroupQuerySet:
        """Returns the groups whose newest report is older than the retention."""
        return self.filter(last_seen__lt=start_of_retention(now))


class Group(models.Model):
    """All reports with one cause on one site: the same directive and blocked source.

    The primary key is a hash of these three values, so every process can compute it without a
    query. A report that an enabled noise rule matches on arrival is noise. It changes only
    `noise_reports`, so a group has the numbers and the times of its other reports. If all reports
    are noise, `noise_rule` is the rule of the newest one, and the group is hidden. The next other
    report removes this label, and so do disabling, changing and deleting the rule. A group is
    deleted when its newest report is older than the retention.

    The four numbers are those of the window, so that the order of the list does not depend on the
    age of a group. `pages` is the number of distinct pages, and `client_days` that of the distinct
    clients on each day, summed over the days. The others are exact. The writer adds to the numbers,
    and the job `recount_csp_groups` (`csp.counting.windows`) counts them again after each day. With
    sums over hours in each request, the list could not use an index for its order.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    site = models.CharField(
        max_length=255, default=OTHER_SITE, db_comment="The origin of the pages, or other."
    )
    directive = models.CharField(max_length=64, blank=True, db_comment="The violated directive.")
    blocked_source = models.CharField(
        max_length=255,
        blank=True,
        db_comment="The host, the scheme or the keyword that was blocked.",
    )
    # A batch does not wait for the check of each row.
    noise_rule = models.ForeignKey(
        "NoiseRule",
        models.SET_NULL,
        null=True,
        db_constraint=False,
        db_index=False,
        related_name="groups",
        db_comment="The noise rule (`csp_noiserule`) that hides the group, because all of its "
        "reports are noise.",
    )
    first_seen = models.DateTimeField(db_comment="When the first report arrived.")
    last_seen = models.DateTimeField(db_comment="When the newest report arrived.")
    # When the row was inserted. An import of old reports changes `first_seen`, but not this time.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    reports = models.BigIntegerField(
        default=0, db_comment="The number of reports in the window that are not noise."
    )
    noise_reports = models.BigIntegerField(
        default=0,
        db_comment="The number of reports in the window that noise rules matched. "
        "`reports` omits them.",
    )
    pages = models.BigIntegerField(
        default=0, db_comment="The number of distinct pages in the window."
    )
    client_days = models.BigIntegerField(
        default=0,
        db_comment="The distinct clients on each day, summed over the days of the window.",
    )
    window_start = models.DateField(
        default=date.min,
        editable=False,
        db_comment="The first day of the window: of the last 30 days at its last count.",
    )
    # The rank of the oldest version with which the group was reported. NULL if there is none,
    # because PostgreSQL ignores NULL in `least`.
    oldest_version_rank = models.CharField(  # noqa: DJ001
        max_length=255,
        null=True,
        db_collation="C",
        editable=False,
        db_comment="The rank of the oldest version of the site with which the group was reported.",
    )
    client_days_since_state_set = models.BigIntegerField(
        db_default=0, editable=False, db_comment="The client days since `state_set_at`."
    )
    # Only operators write the columns below.
    state = models.CharField(
        max_length=16,
        choices=State,
        db_default=State.NEW,
        db_comment="The state that an operator has set: new, acknowledged, resolved or ignored. "
        "The API computes the current state from it: new again, or regressed.",
    )
    state_set_at = models.DateTimeField(null=True, db_comment="When an operator set the state.")
    ignored_until = models.DateTimeField(
        null=True, db_comment="When an ignored group becomes new again."
    )
    ignored_client_days = models.BigIntegerField(
        "ignored for client days",
        null=True,
        db_comment="The client days since `state_set_at` after which it is new again.",
    )
    note = models.TextField(blank=True, db_default="", db_comment="The note of the operators.")
    # The user who takes care of the group.
    assigned_to = models.ForeignKey(
        "users.User", models.SET_NULL, null=True, blank=True, db_index=False, related_name="+"
    )

    objects = GroupQuerySet.as_manager()

    class Meta:
        verbose_name = "violation group"
        ordering = ["-client_days", "-pages", "-reports", "id"]
        # Do not index columns that every report changes. Otherwise, each report would also change
        # an index (the update of the row would not be heap-only).
        indexes = [
            models.Index(fields=["-client_days", "-pages"], name="csp_group_client_days"),
            models.Index(fields=["first_seen"], name="csp_group_first_seen"),
            models.Index(fields=["site", "created_at"], name="csp_group_site"),
            models.Index(
                fields=["noise_rule"],
                name="csp_group_noise_rule",
                condition=Q(noise_rule__isnull=False),
            ),
            models.Index(
                fields=["assigned_to"],
                name="csp_group_assigned",
                condition=Q(assigned_to__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return cause(self.directive, self.blocked_source)


class GroupHourQuerySet(models.QuerySet["GroupHour"]):
    def visible(self) -> GroupHourQuerySet:
        """Returns the hours of reports that are not noise, of visible groups."""
        return self.filter(noise_rule_id=0, group__noise_rule=None)

    def shown(self) -> GroupHourQuerySet:
        """Returns the hours that the page of a group shows: of a hidden group, also its noise."""
        return self.filter(Q(noise_rule_id=0) | Q(group__noise_rule__isnull=False))


class GroupHour(models.Model):
    """The reports of one group in one hour that one noise rule matched, or none: 0.

    `client_days` is the number of clients whose first report of the day was in this hour.
    """

    pk = models.CompositePrimaryKey("group_id", "hour", "noise_rule_id")
    # PostgreSQL does not check the group, so that a batch does not wait for the check of each row.
    group = models.ForeignKey(Group, models.CASCADE, db_index=False, db_constraint=False)
    hour = models.DateTimeField(db_index=True, db_comment="The start of the hour.")
    noise_rule_id = models.BigIntegerField(
        default=0, db_comment="The noise rule that matched the reports, or 0."
    )
    reports = models.BigIntegerField(db_comment="The number of reports.")
    client_days = models.BigIntegerField(
        default=0,
        db_comment="The clients whose first report of the day was in this hour.",
    )

    objects = GroupHourQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["noise_rule_id", "hour"],
                name="csp_grouphour_noise",
                condition=Q(noise_rule_id__gt=0),
            )
        ]


class Version(models.Model):
    """A version of a site with which browsers have reported (see `csp.writing.versions`).

    `rank` orders the versions of a site, the oldest one first (see `csp.scrubbing.versions`).
    `last_seen` is exact to a day. A version is deleted when it is older than the retention.
    """

    # Not a bigint, to save space: each distinct hash of a version contains this number.
    id = models.AutoField(primary_key=True)
    site = models.CharField(max_length=255, db_comment="The site.")
    name = models.CharField(
        max_length=64, db_comment="The version, as in the URL for reports, or the release of Coder."
    )
    rank = models.CharField(
        max_length=255,
        db_collation="C",
        db_comment="A text by which the versions of a site are sorted, oldest first.",
    )
    first_seen = models.DateTimeField(db_comment="When the first report with the version arrived.")
    last_seen = models.DateTimeField(
        db_comment="When the newest report with the version arrived, to the day."
    )

    class Meta:
        ordering = ["site", "rank"]
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="csp_version_once")]

    def __str__(self) -> str:
        return self.name


class GroupVersion(models.Model):
    """The client days of a group in the reports with one version of its site."""

    pk = models.CompositePrimaryKey("group_id", "version_id")
    group = models.ForeignKey(
        Group, models.CASCADE, db_index=False, db_constraint=False, related_name="versions"
    )
    version = models.ForeignKey(Version, models.CASCADE, db_index=False, db_constraint=False)
    client_days = models.BigIntegerField(
        db_comment="The client days of the reports with this version."
    )

    class Meta:
        indexes = [
            models.Index(fields=["version", "-client_days"], name="csp_groupversion_client_days")
        ]


class DistinctHash(models.Model):
    """The keyed hash of a page, or of a client on a day, that a group counts once in the window.

    `day` is the last day of a page. A client of a day is stored once for each version of the site;
    0 if it is not known.
    """

    class Kind(models.IntegerChoices):
        PAGE = 1
        CLIENT_DAY = 2

    pk = models.CompositePrimaryKey("group_id", "kind", "hash", "version_id")
    group = models.ForeignKey(Group, models.CASCADE, db_index=False, db_constraint=False)
    kind = models.SmallIntegerField(
        choices=Kind, db_comment="1 for a page, 2 for a client on a day."
    )
    hash = models.BigIntegerField(db_comment="The keyed hash.")
    version_id = models.IntegerField(default=0, db_comment="The version of the site, or 0.")
    # Stored without further space, because of the alignment of rows.
    day = models.DateField(db_comment="The day of the client, or the last day of the page.")


class Report(models.Model):
    """One violation that a browser reported, without private data.

    The table is partitioned by the day of `received_at`. Its primary key in PostgreSQL is (id,
    received_at), because a primary key must include the column by which the table is partitioned.
    `id` alone is also unique, because one sequence generates the ids of all partitions.
    """

    id = models.BigAutoField(primary_key=True)
    received_at = models.DateTimeField(db_comment="When the report arrived.")
    occurred_at = models.DateTimeField(
        db_comment="When the violation happened, as the browser says."
    )
    group = models.ForeignKey(
        Group, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="stored_reports"
    )
    # The enabled noise rule that matched the report on arrival, or 0. The rule may be deleted.
    noise_rule_id = models.BigIntegerField(
        default=0,
        editable=False,
        db_comment="The enabled noise rule that matched the report on arrival, or 0.",
    )
    format = models.CharField(max_length=32, db_comment="The format of the report.")
    document_uri = models.TextField("document URI", blank=True, db_comment="The URL of the page.")
    referrer = models.TextField(blank=True, db_comment="The URL of the referring page.")
    blocked_uri = models.TextField(
        "blocked URI", blank=True, db_comment="The blocked URL or keyword."
    )
    effective_directive = models.TextField(blank=True, db_comment="The directive that was applied.")
    violated_directive = models.TextField(
        blank=True, db_comment="The violated directive, as older browsers name it."
    )
    original_policy = models.TextField(blank=True, db_comment="The policy of the page.")
    disposition = models.CharField(max_length=64, blank=True, db_comment="enforce or report.")
    status_code = models.IntegerField(null=True, db_comment="The HTTP status of the page.")
    sample = models.TextField(
        blank=True, db_comment="The beginning of the blocked code, without secrets."
    )
    source_file = models.TextField(
        blank=True, db_comment="The URL of the file that caused the violation."
    )
    line_number = models.IntegerField(null=True, db_comment="The line in this file.")
    column_number = models.IntegerField(null=True, db_comment="The column in this line.")
    browser = models.CharField(
        max_length=64, blank=True, db_comment="The browser and its main version."
    )
    user_agent = models.TextField(blank=True, db_comment="The user agent.")
    client_address_hash = models.BinaryField(
        max_length=16,
        db_comment="A keyed hash of the client's address. It identifies no client after a day.",
    )
    version_name = models.CharField(
        "version",
        max_length=64,
        blank=True,
        db_comment="The release of Coder, or the version in the URL for reports.",
    )
    other_members = models.JSONField(
        default=dict, db_comment="The members of the report that have no column."
    )
    # The number of reports that this row represents. It is more than 1 if only a sample of the
    # reports is stored.
    represented_reports = models.BigIntegerField(
        db_default=1,
        editable=False,
        db_comment="The number of reports that this row represents, if only a sample is stored.",
    )

    class Meta:
        ordering = ["-received_at", "-id"]
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="csp_report_received"),
            models.Index(
                fields=["group", "noise_rule_id", "-received_at"], name="csp_report_group"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.effective_directive or self.violated_directive} blocked {self.blocked_uri}"


class LimitUse(models.Model):
    """The part of a limit that one subject has used in one hour.

    The subject of most rows is a caller, and `used` the number of groups that it has opened or has
    tried to open. This subject is a keyed hash, like `Report.client_address_hash`. The key of the
    hash is deleted a day later. After that, the hash no longer identifies the caller. Other rows
    count the groups of all callers together, the networks that have reported a cause (see
    `csp.writing.group_limit`), and the new versions of a caller on a day (see
    `csp.writing.versions`).
    """

    pk = models.CompositePrimaryKey("subject", "hour")
    subject = models.BinaryField(
        max_length=32, db_comment="A keyed hash of what is limited: a caller, a network or a cause."
    )
    hour = models.DateTimeField(db_comment="The start of the hour.")
    used = models.BigIntegerField(db_comment="How much was used.")


class CommittedBatch(models.Model):
    """One committed batch of reports.

    If the writer loses its connection during a commit, it looks up the id of the batch here. An
    import computes the id of a batch from the content of the file. The ids of imported batches are
    never deleted, so that the next import of the file skips the lines that were already imported.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    is_imported = models.BooleanField(
        db_default=False, db_comment="Whether an import wrote the batch."
    )
    committed_at = models.DateTimeField(
        db_default=Now(), db_index=True, db_comment="When the batch was committed."
    )


class ClientKey(models.Model):
    """The secret key of the client hashes of one day. It is deleted a day later."""

    day = models.DateField(primary_key=True, db_comment="The day (UTC).")
    secret = models.BinaryField(max_length=32, db_comment="The key of the hashes. A secret.")


class NoiseRule(models.Model):
    """A rule that labels groups as noise, for example groups that browser extensions cause."""

    class Target(models.TextChoices):
        SCHEME = "scheme", "scheme"
        HOST = "host", "host"
        PATH = "path", "path"
        DOCUMENT_SCHEME = "document-scheme", "document's scheme"
        USER_AGENT = "user-agent", "user agent"

    name = models.SlugField(max_length=64, unique=True, db_comment="The unique name.")
    category = models.CharField(
        max_length=64, db_comment="What causes the reports, such as browser extensions."
    )
    target = models.CharField(
        max_length=16,
        choices=Target,
        help_text="The part of a report that is compared with the pattern. Scheme, host and path "
        "are those of the blocked URL or of the source file.",
    )
    pattern = models.CharField(
        max_length=255,
        help_text="For the target scheme: a scheme, such as moz-extension. For host: a host, or "
        "*.foo.example for the host and its subdomains. For path: the start of a path, such as "
        "/inject/ or foo.example/inject/. For user agent: a part of the user agent.",
    )
    site = models.CharField(
        max_length=255, blank=True, help_text="Matches only reports of this site."
    )
    reason = models.TextField(db_comment="Why reports with this pattern are noise.")
    reference_url = models.CharField(
        "reference URL", max_length=255, blank=True, help_text="A page about this noise."
    )
    is_enabled = models.BooleanField(
        "enabled", default=True, db_comment="Whether lists hide the groups that the rule labels."
    )
    is_built_in = models.BooleanField(
        "built-in",
        default=False,
        editable=False,
        db_comment="Whether the rule is part of coderapi.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["category", "name"]
        constraints = [
            models.UniqueConstraint(
                fields=["target", "pattern", "site"], name="csp_noise_rule_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class IngestKey(models.Model):
    """A key that allows pages of the given origins to report without a session token.

    The key is public, because every visitor of these pages can read it.
    """

    name = models.CharField(max_length=64, unique=True, db_comment="The unique name.")
    value = models.CharField(
        max_length=64,
        unique=True,
        editable=False,
        db_comment="The key, as in the URL for reports. It is public.",
    )
    origins = ArrayField(
        models.CharField(max_length=255),
        help_text="The origins of the pages that may use this key, separated by commas, such as "
        "https://coder.example.com.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retired_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="From this time on, reports with this key get a 410 response, and browsers stop "
        "sending reports.",
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Rejection(models.Model):
    """The number of rejected requests with reports, of one day, key, reason and origin."""

    day = models.DateField(db_comment="The day (UTC).")
    ingest_key = models.CharField(
        max_length=64, blank=True, db_comment="The name of the ingest key, or empty."
    )
    reason = models.CharField(max_length=64, db_comment="Why the requests were rejected.")
    origin = models.CharField(max_length=255, blank=True, db_comment="The header Origin, or empty.")
    requests = models.BigIntegerField(default=0, db_comment="The number of requests.")
    last_seen = models.DateTimeField(db_comment="The time of the newest request.")

    class Meta:
        verbose_name = "rejected request"
        ordering = ["-day", "-requests", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["day", "ingest_key", "reason", "origin"], name="csp_rejection_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.reason}"


class SitePolicy(models.Model):
    """A policy of a site (see `csp.triage.changes`)."""

    site = models.CharField(max_length=255, db_comment="The site.")
    disposition = models.CharField(max_length=64, blank=True, db_comment="enforce or report.")
    digest = models.CharField(
        max_length=64, db_comment="A digest of the policy in a form that is equal in all browsers."
    )
    policy = models.TextField(db_comment="The policy.")
    last_new_at = models.DateTimeField(db_comment="When the policy was last new on the site.")
    last_seen = models.DateTimeField(db_comment="When the newest report with the policy arrived.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["site", "disposition", "digest"], name="csp_site_policy_once"
            )
        ]


class OtherReport(models.Model):
    """The number of reports with one cause and one type other than a violation.

    Such a report is not stored itself (see `csp.counting.other_reports`). The primary key is a hash
    of the six values that identify the row. `client_sketch` is a sketch of the clients on each day:
    the smallest of their keyed hashes.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    type = models.CharField(max_length=64, db_comment="The type, such as deprecation.")
    subject = models.CharField(
        max_length=128,
        blank=True,
        db_comment="What the report is about, such as the deprecated feature.",
    )
    cause_url = models.CharField(
        "URL of the cause", max_length=1024, blank=True, db_comment="The URL of the cause."
    )
    ingest_key = models.CharField(
        max_length=64, blank=True, db_comment="The name of the ingest key, or empty."
    )
    site = models.CharField(
        max_length=255, default=OTHER_SITE, db_comment="The origin of the pages, or other."
    )
    page_kind = models.CharField(
        "kind of page",
        max_length=1024,
        blank=True,
        db_comment="The kind of page: its URL with placeholders.",
    )
    first_seen = models.DateTimeField(db_comment="When the first report arrived.")
    last_seen = models.DateTimeField(db_comment="When the newest report arrived.")
    # When the row was inserted. The number of new rows of a day is limited.
    created_at = models.DateTimeField(db_default=Now(), db_index=True, editable=False)
    reports = models.BigIntegerField(default=0, db_comment="The number of reports.")
    client_sketch = ArrayField(
        models.BigIntegerField(),
        default=list,
        editable=False,
        db_comment="The smallest keyed hashes of the clients on each day.",
    )
    client_days = models.BigIntegerField(
        default=0, db_comment="The number of distinct clients on each day, summed over the days."
    )

    class Meta:
        verbose_name = "other report"
        ordering = ["-client_days", "-reports", "id"]
        indexes = [models.Index(fields=["type", "site"], name="csp_otherreport_type")]

    def __str__(self) -> str:
        return f"{self.type} {self.subject}".strip()
