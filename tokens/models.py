from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.safestring import SafeString

from kernel.db.singleton import Singleton
from tokens.lifetimes import last_use_on_hover
from users import scopes
from users.roles import DISPLAY_NAMES

SOURCES = ("user", "role", "deployment", "option", "default")


class Rule(NamedTuple):
    """The source of a limit: a token policy, an option, or the default.

    `name` is the name of the user, the role or the option.
    """

    source: str
    name: str | None = None

    def __str__(self) -> str:
        parts = (self.name,) if self.source == "option" else self
        return " ".join(part for part in parts if part)


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def live(self, now: datetime) -> APIKeyQuerySet:
        return self.filter(expires_at__gte=now)

    def tokens(self) -> APIKeyQuerySet:
        """Filters for tokens: keys with a name."""
        return self.filter(login_type=APIKey.LoginType.TOKEN)

    def minted(self) -> APIKeyQuerySet:
        """Filters for keys that the token policy applies to."""
        return self.filter(is_minted=True)


class APIKey(models.Model):
    """A token or a session of a user, with the digest of its secret."""

    class LoginType(models.TextChoices):
        PASSWORD = "password"  # noqa: S105 - a way of signing in, not a secret
        TOKEN = "token"  # noqa: S105 - as above

    id = models.CharField(
        primary_key=True,
        max_length=10,
        editable=False,
        db_comment="The first part of the token: 10 characters.",
    )
    hashed_secret = models.BinaryField(
        max_length=32, db_comment="The SHA-256 digest of the second part of the token."
    )
    # The index `api_key_of_user` replaces the index of the foreign key.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys", db_index=False
    )
    token_name = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_comment="The name of a token. Empty for sessions.",
    )
    login_type = models.CharField(
        max_length=16,
        choices=LoginType,
        default=LoginType.PASSWORD,
        db_comment="token, or password for a session.",
    )
    is_minted = models.BooleanField(
        db_comment="Whether another key or a command created the key. A token policy applies."
    )
    scopes = ArrayField(
        models.CharField(max_length=64), db_comment="What the key may do, such as coder:all."
    )
    allow_list = models.JSONField(
        db_comment="The objects that the key may act on: a list of {type, id}."
    )
    lifetime_ns = models.BigIntegerField(db_comment="The lifetime in nanoseconds.")
    last_used = models.DateTimeField(
        null=True,
        db_comment="When the key was last used, to the hour. NULL before that.",
    )
    expires_at = models.DateTimeField(db_index=True, db_comment="When the key expires.")
    ip_address = models.GenericIPAddressField(
        null=True, db_comment="The address of the last client."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        verbose_name = "API key"
        indexes = [
            models.Index(fields=["-created_at", "id"], name="api_key_newest_first"),
            models.Index(fields=["user", "-created_at", "id"], name="api_key_of_user"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "token_name"],
                condition=~Q(token_name=""),
                name="api_key_name_unique",
            ),
            models.CheckConstraint(
                condition=Q(lifetime_ns__gt=0), name="api_key_lifetime_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.token_name or self.id

    @property
    def username(self) -> str:
        return self.user.username

    @property
    def last_use(self) -> SafeString:
        return last_use_on_hover(self.last_used)

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at < now


class TokenConfig(models.Model):
    """A token policy: limits on the tokens of one user, of users with a role, or of all users.

    Null means that the limit is inherited. Units: lifetimes in nanoseconds.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="token_config",
        help_text="The user that the policy applies to. Leave empty for a role or the deployment.",
    )
    role = models.CharField(
        max_length=32,
        blank=True,
        default="",
        choices=list(DISPLAY_NAMES.items()),
        help_text="The role that the policy applies to. For the whole deployment, leave user and "
        "role empty.",
    )
    max_lifetime_ns = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The maximum lifetime of a new token.",
    )
    default_lifetime_ns = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The lifetime of a new token if the request contains no lifetime.",
    )
    max_live_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="The maximum number of live tokens. 0 allows none."
    )
    allowed_scopes = ArrayField(
        models.CharField(max_length=64, choices=[(name, name) for name in sorted(scopes.KNOWN)]),
        null=True,
        blank=True,
        help_text="The scopes that a new token may have.",
    )
    tokens_may_create_tokens = models.BooleanField(
        null=True, blank=True, help_text="Whether a token may be used to create other tokens."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        verbose_name = "token policy"
        verbose_name_plural = "token policies"
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
                violation_error_message="This role or the deployment already has a token policy.",
            ),
            models.CheckConstraint(
                condition=Q(max_lifetime_ns__gt=0) & Q(default_lifetime_ns__gt=0),
                name="token_config_lifetimes_positive",
                violation_error_message="A lifetime must be more than 0.",
            ),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def subject(self) -> str:
        """Returns `user alice`, `role auditor` or `deployment`."""
        return str(self.rule)

    @property
    def rule(self) -> Rule:
        if self.user is not None:
            return Rule("user", self.user.username)
        return Rule("role", self.role) if self.role else Rule("deployment")


class PolicyVersion(Singleton):
    """The version of all token policies together. A migration inserts the only row.

    A transaction that changes a policy first increases the version, and so locks the row. A
    transaction that creates a key locks the row for sharing, if it still has the version of the
    limits that were checked. So the new policy applies to a new key, or the key already exists when
    the change checks all keys.
    """

    version = models.BigIntegerField(db_comment="It increases with each change of a token policy.")

    def __str__(self) -> str:
        return str(self.version)


class ExpiryNotice(models.Model):
    """A mail about a key that expires soon.

    Because of this record, no replica sends the same reminder again, or a second mail to the
    recipient on the same day.
    """

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="expiry_notices"
    )
    api_key = models.ForeignKey(APIKey, on_delete=models.CASCADE, related_name="expiry_notices")
    expires_at = models.DateTimeField(
        help_text="The expiry time in the mail. If the expiry changes, another mail is sent."
    )
    days_before = models.PositiveSmallIntegerField(
        help_text="The reminder: 30, 7 or 1 days before the expiry."
    )
    sent_on = models.DateField(db_comment="The day of the mail (UTC).")

    class Meta:
        ordering = ["-sent_on", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["recipient", "api_key", "expires_at", "days_before"],
                name="expiry_notice_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.recipient} {self.api_key} {self.days_before}"
