from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tokens import scopes
from users.roles import DISPLAY_NAMES


def full_access() -> list[str]:
    return [scopes.ALL]


class APIKey(models.Model):
    """A session token of a user. Only a digest of its secret is stored.

    Units: `lifetime_ns` nanoseconds; times UTC. `last_used` is null until the first use.
    """

    class LoginType(models.TextChoices):
        PASSWORD = "password"  # noqa: S105 - how the user signed in, no secret
        TOKEN = "token"  # noqa: S105 - as above

    id = models.CharField(primary_key=True, max_length=10, editable=False)
    hashed_secret = models.BinaryField(max_length=32)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    token_name = models.CharField(max_length=255, blank=True, default="")
    login_type = models.CharField(max_length=16, choices=LoginType, default=LoginType.PASSWORD)
    scopes = ArrayField(models.CharField(max_length=64), default=full_access)
    allow_list = models.JSONField(default=list)
    lifetime_ns = models.BigIntegerField()
    last_used = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(db_index=True)
    ip_address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "token_name"],
                condition=~Q(token_name=""),
                name="api_key_name_unique",
            ),
            models.CheckConstraint(condition=Q(lifetime_ns__gt=0), name="api_key_lifetime_positive"),
        ]

    def __str__(self) -> str:
        return self.token_name or self.id

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at < now


class TokenConfig(models.Model):
    """How long tokens may live, for a user, for a role, or for the deployment.

    Units: `max_token_lifetime` nanoseconds.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="token_config",
        help_text="The user that this is for; leave it empty for a role or the deployment.",
    )
    role = models.CharField(
        max_length=32,
        blank=True,
        default="",
        choices=list(DISPLAY_NAMES.items()),
        help_text="The role that this is for; leave both empty for the whole deployment.",
    )
    max_token_lifetime = models.BigIntegerField(help_text="In nanoseconds; a day is 86400000000000.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(role=""),
                name="token_config_one_subject",
                violation_error_message="Choose a user or a role, not both.",
            ),
            models.UniqueConstraint(
                fields=["role"],
                condition=Q(user__isnull=True),
                name="token_config_role_unique",
                violation_error_message="This role, or the deployment, has a token config already.",
            ),
            models.CheckConstraint(
                condition=Q(max_token_lifetime__gt=0),
                name="token_config_lifetime_positive",
                violation_error_message="The lifetime must be above 0.",
            ),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def subject(self) -> str:
        """For whom this is: `user alice`, `role auditor` or `deployment`."""
        if self.user_id is not None:
            return f"user {self.user}"
        return f"role {self.role}" if self.role else "deployment"
