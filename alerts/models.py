from __future__ import annotations

import uuid
from datetime import datetime
from urllib.parse import urlsplit

from django.contrib import admin
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from alerts.kinds import KINDS, Severity


class Channel(models.Model):
    """A receiver of alerts. A new channel is off until its receiver has accepted a test alert."""

    class Type(models.TextChoices):
        WEBHOOK = "webhook", "Webhook (signed JSON)"
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        NTFY = "ntfy", "ntfy"
        EMAIL = "email", "E-mail"

    name = models.CharField(max_length=64, unique=True, db_comment="The unique name.")
    type = models.CharField(
        max_length=16, choices=Type, db_comment="How the receiver gets messages."
    )
    address = models.CharField(
        max_length=1024, db_comment="The URL, or the e-mail address. A URL may contain a secret."
    )
    secret = models.CharField(
        max_length=64, editable=False, db_comment="The key that signs the messages of a webhook."
    )
    is_enabled = models.BooleanField(
        "enabled", default=False, db_comment="Whether the channel gets alerts."
    )
    # Only the first time enables the channel.
    accepted_at = models.DateTimeField(
        "last message",
        null=True,
        editable=False,
        db_comment="When the receiver last accepted a message.",
    )
    failed_at = models.DateTimeField(
        null=True,
        editable=False,
        db_comment="When a test, a message or composing messages last failed.",
    )
    error = models.CharField(
        max_length=512, blank=True, editable=False, db_comment="The last failure."
    )
    kinds = ArrayField(
        models.CharField(max_length=32),
        blank=True,
        default=list,
        help_text="The kinds of alerts that the channel gets. If empty, it gets all kinds.",
    )
    sites = ArrayField(
        models.CharField(max_length=255),
        blank=True,
        default=list,
        help_text="The sites whose alerts the channel gets, one on each line. Without an entry, "
        "all sites. Alerts that concern no site are always sent.",
    )
    min_severity = models.PositiveSmallIntegerField(
        "least severity",
        choices=Severity,
        default=Severity.LOW,
        db_comment="The lowest severity of its alerts: 1 low, 2 medium, 3 high.",
    )
    min_client_days = models.PositiveIntegerField(
        "client days",
        default=10,
        validators=[MinValueValidator(1)],
        help_text="A new group is reported when it has at least this number of client days: its "
        "clients of each day, added up.",
    )
    hourly_limit = models.PositiveIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="The maximum number of messages in an hour. One message can list many alerts.",
    )
    quiet_from = models.TimeField(
        null=True,
        blank=True,
        help_text="From this time (UTC), alerts wait until the quiet hours end.",
    )
    quiet_until = models.TimeField(
        null=True, blank=True, db_comment="The end of the quiet hours (UTC)."
    )

    class Meta:
        verbose_name = "alert channel"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_failing(self) -> bool:
        """Returns whether the last message or test has failed."""
        return self.failed_at is not None and (
            self.accepted_at is None or self.failed_at > self.accepted_at
        )

    @property
    def has_secret_address(self) -> bool:
        """Returns whether the address is a URL, which may contain a secret."""
        return self.type != self.Type.EMAIL

    @property
    @admin.display(description="address")
    def shown_address(self) -> str:
        """Returns the address without the parts that may be secret: of a URL, only the host."""
        if self.has_secret_address:
            return urlsplit(self.address).hostname or ""
        return self.address

    def note_success(self, *, now: datetime) -> None:
        Channel.objects.filter(pk=self.pk).update(accepted_at=now)

    def note_failure(self, error: str, *, now: datetime) -> None:
        Channel.objects.filter(pk=self.pk).update(failed_at=now, error=error)

    def chooses(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds

    def wants(self, kind: str, *, severity: int, site: str) -> bool:
        """Returns whether the channel gets alerts of this kind, severity and site."""
        return (
            self.chooses(kind)
            and severity >= self.min_severity
            and (not self.sites or not site or site in self.sites)
        )


class Delivery(models.Model):
    """A message for one channel. It contains one alert, or lists several."""

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"
        DROPPED = "dropped"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries")
    subject = models.CharField(max_length=255, blank=True, db_comment="The subject of the message.")
    status = models.CharField(
        max_length=16,
        choices=Status,
        default=Status.PENDING,
        db_comment="pending, sent, failed or dropped.",
    )
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(db_comment="The time of the next attempt.")
    sent_at = models.DateTimeField(null=True, db_comment="When the receiver accepted the message.")
    attempts = models.PositiveSmallIntegerField(default=0, db_comment="The number of attempts.")
    error = models.CharField(
        max_length=512, blank=True, db_comment="The error of the last attempt."
    )

    class Meta:
        verbose_name = "alert delivery"
        verbose_name_plural = "alert deliveries"
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(
                fields=["due_at"], name="alerts_delivery_due", condition=models.Q(status="pending")
            ),
            models.Index(fields=["channel", "-created_at"], name="alerts_delivery_channel"),
        ]

    def __str__(self) -> str:
        return self.subject or str(self.pk)


class Alert(models.Model):
    """An event, for one channel.

    `occurred_at` identifies the event, as each regression is another. A lasting event is recorded
    when it begins, and again only after it has ended. An event from before the channel was enabled
    has a row, too, with the status "known". It is never sent.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"
        KNOWN = "known"
        DROPPED = "dropped"

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=32, db_comment="The kind, such as csp_group.new.")
    subject_key = models.CharField(
        max_length=128,
        db_comment="What the event is about: the id of a group, or the name of a job.",
    )
    occurred_at = models.DateTimeField(
        db_comment="The time of the event, or when a lasting state was noticed."
    )
    is_lasting = models.BooleanField(
        default=False, db_comment="Whether the event is a state that lasts."
    )
    ended_at = models.DateTimeField(null=True, db_comment="When the lasting state ended.")
    severity = models.PositiveSmallIntegerField(
        choices=Severity, db_comment="1 low, 2 medium, 3 high."
    )
    site = models.CharField(
        max_length=255, blank=True, db_comment="The site, or empty if the event concerns none."
    )
    title = models.CharField(max_length=255, db_comment="What has happened, without the kind.")
    weight = models.BigIntegerField(
        default=0, db_comment="The order within a message, highest first: client days, for example."
    )
    status = models.CharField(
        max_length=16,
        choices=Status,
        default=Status.PENDING,
        db_comment="pending, sent, failed, known or dropped.",
    )
    created_at = models.DateTimeField()
    delivery = models.ForeignKey(
        Delivery, models.SET_NULL, null=True, related_name="alerts", db_index=False
    )

    class Meta:
        ordering = ["-severity", "-weight", "created_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["channel", "kind", "subject_key", "occurred_at"], name="alerts_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["channel"], name="alerts_pending", condition=models.Q(status="pending")
            ),
            models.Index(
                fields=["channel", "kind"],
                name="alerts_lasting",
                condition=models.Q(is_lasting=True, ended_at=None),
            ),
            models.Index(
                fields=["delivery"],
                name="alerts_of_delivery",
                condition=models.Q(delivery__isnull=False),
            ),
            models.Index(fields=["kind", "subject_key"], name="alerts_of_key"),
            models.Index(fields=["created_at"], name="alerts_created"),
        ]

    def __str__(self) -> str:
        return f"{KINDS[self.kind].word}: {self.title}"
