from __future__ import annotations

import uuid
from datetime import datetime

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

    name = models.CharField(max_length=64, unique=True)
    type = models.CharField(max_length=16, choices=Type)
    address = models.CharField(max_length=1024)
    secret = models.CharField(max_length=64, editable=False)
    is_enabled = models.BooleanField(default=False)
    # When the receiver last accepted a message. Only the first time enables the channel.
    accepted_at = models.DateTimeField("last message", null=True, editable=False)
    # The last failure of a test, of a delivery, or of composing messages.
    failed_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(max_length=512, blank=True, editable=False)
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
        "least severity", choices=Severity, default=Severity.LOW
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
    quiet_until = models.TimeField(null=True, blank=True)

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
    subject = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=512, blank=True)

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
    """An event, for one channel. `occurred_at` identifies the event, as each regression is another.

    An event that lasts (`is_lasting`) has no time of its own. It is recorded when it begins, and
    again only after it has ended (`ended_at`). An event from before the channel was enabled has a
    row, too, with the status "known". It is never sent.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"
        KNOWN = "known"
        DROPPED = "dropped"

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=32)
    # What the event is about: the id of a group, the name of a job.
    subject_key = models.CharField(max_length=128)
    occurred_at = models.DateTimeField()
    is_lasting = models.BooleanField(default=False)
    ended_at = models.DateTimeField(null=True)
    severity = models.PositiveSmallIntegerField(choices=Severity)
    site = models.CharField(max_length=255, blank=True)
    title = models.CharField(max_length=255)
    # The order within a message: clients, for example.
    weight = models.BigIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
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
