from __future__ import annotations

import uuid

from django.contrib.auth import hashers
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from kernel.db.singleton import Singleton
from users import names, roles

USER_PERMISSIONS = frozenset(f"users.{right}_user" for right in ("view", "add", "change", "delete"))


class User(AbstractBaseUser):
    """A user, a service account without a password, or a copy of a user of another service."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        DORMANT = "dormant"
        SUSPENDED = "suspended"

    class LoginType(models.TextChoices):
        PASSWORD = "password"  # noqa: S105 - a way of signing in, not a secret
        NONE = "none"

    class Source(models.TextChoices):
        OWN = "own"
        CODER = "coder"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The service that manages the account. A copy of an account never has a password or keys.
    source = models.CharField(
        max_length=8,
        choices=Source,
        default=Source.OWN,
        db_default=Source.OWN,
        editable=False,
        db_comment="own, or coder for a copy of a user of Coder.",
    )
    username = names.UsernameField(
        max_length=names.MAX_LENGTH, db_comment="The unique name, in lower case."
    )
    email = names.EmailField(
        max_length=names.MAX_EMAIL_LENGTH, db_comment="The unique e-mail address, in lower case."
    )
    name = models.CharField(max_length=128, blank=True, default="", db_comment="The display name.")
    avatar_url = models.URLField(blank=True, default="", db_comment="The URL of the picture.")
    status = models.CharField(
        max_length=16,
        choices=Status,
        default=Status.ACTIVE,
        db_comment="active, dormant or suspended.",
    )
    roles = ArrayField(
        models.CharField(max_length=32, choices=list(roles.DISPLAY_NAMES.items())),
        blank=True,
        default=list,
        help_text="The roles of the user. Every user also has the role member.",
    )
    theme_preference = models.CharField(
        max_length=64, blank=True, default="", db_comment="The theme that the user has chosen."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    last_seen_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        db_comment="When the user last made a request. Written at most once an hour.",
    )

    objects = BaseUserManager["User"]()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(
                fields=["username"],
                name="user_username_unique",
                violation_error_message="This username is already in use.",
            ),
            models.UniqueConstraint(
                fields=["email"],
                name="user_email_unique",
                violation_error_message="This e-mail address is already in use.",
            ),
            models.CheckConstraint(
                condition=models.Q(username__regex=names.USERNAME), name="user_username_normal"
            ),
            models.CheckConstraint(
                condition=models.Q(email__regex=names.EMAIL), name="user_email_normal"
            ),
            models.CheckConstraint(
                condition=models.Q(roles__contained_by=list(roles.DISPLAY_NAMES)),
                name="user_roles_known",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "dormant", "suspended"]),
                name="user_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(source="own")
                | models.Q(source="coder", password__startswith=hashers.UNUSABLE_PASSWORD_PREFIX),
                name="user_source_known",
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def is_copy(self) -> bool:
        """Returns whether another service manages this user, so its roles and status are copies."""
        return self.source != self.Source.OWN

    @property
    def is_active(self) -> bool:  # type: ignore[override]  # Django declares a constant.
        return self.status != self.Status.SUSPENDED

    @property
    def login_type(self) -> str:
        """Returns `password`, or `none` for a service account, which cannot sign in."""
        return self.LoginType.PASSWORD if self.has_usable_password() else self.LoginType.NONE

    def check_password(self, raw_password: str | None) -> bool:
        """Returns whether the password is correct. Updates a hash with outdated parameters.

        Django's method does the same, but could overwrite a password that another request has set
        in the meantime.
        """
        outdated: list[str] = []
        if not hashers.check_password(raw_password, self.password, outdated.append):
            return False
        if not outdated:
            return True
        stored, hashed = User.objects.filter(pk=self.pk), hashers.make_password(raw_password)
        if stored.filter(password=self.password).update(password=hashed):
            self.password = hashed
            return True
        self.password = stored.values_list("password", flat=True).first() or ""
        return hashers.check_password(raw_password, self.password)

    @property
    def is_staff(self) -> bool:
        """Returns whether the user may open the admin."""
        return self.is_active and not roles.ADMIN_ROLES.isdisjoint(self.roles)

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Returns whether the user has Django's permission `app.action_model`.

        Owners have all permissions. Auditors have the permission `view` for all models. User admins
        have the permissions for users. `UserAdmin` also checks on which users they may act.
        """
        if not self.is_active:
            return False
        return (
            roles.OWNER in self.roles
            or (roles.AUDITOR in self.roles and perm.partition(".")[2].startswith("view_"))
            or (roles.USER_ADMIN in self.roles and perm in USER_PERMISSIONS)
        )

    def has_module_perms(self, app_label: str) -> bool:
        """Returns whether the user may open pages of this app. User admins see only the users."""
        sees_all = not {roles.OWNER, roles.AUDITOR}.isdisjoint(self.roles)
        return self.is_staff and (sees_all or app_label == User._meta.app_label)


class Organization(Singleton):
    """The only organization. Every user is a member."""

    NAME = "coder"
    DISPLAY_NAME = "Coder"

    organization_id = models.UUIDField(
        default=uuid.uuid4,
        editable=False,
        db_comment="The id of the organization. It never changes.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.NAME
