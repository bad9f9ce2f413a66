from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


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
        verbose_name_plural = "Coder's tokens"

    def __str__(self) -> str:
        return f"{self.token_name or self.id} of {self.username}"
