from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now

from kernel.db.singleton import Singleton
from options.redaction import SHORT


class DeploymentIdentity(Singleton):
    """The id and the web-push key of this deployment. They are created once and never change."""

    deployment_id = models.UUIDField(
        default=uuid.uuid4,
        editable=False,
        db_comment="The id of the deployment, as in the build info.",
    )
    vapid_private_key = models.BinaryField(
        editable=False, db_comment="The private key of web push. A secret."
    )
    vapid_public_key = models.CharField(
        max_length=128, editable=False, db_comment="The public key of web push."
    )

    class Meta(Singleton.Meta):
        verbose_name_plural = "deployment identities"

    def __str__(self) -> str:
        return str(self.deployment_id)


class CoderUpdateCheck(Singleton):
    """The newest known release of Coder, and the result of the last update check."""

    version = models.CharField(
        max_length=64, blank=True, default="", db_comment="The newest known release of Coder."
    )
    url = models.CharField(
        max_length=512, blank=True, default="", db_comment="The page of this release."
    )
    succeeded_at = models.DateTimeField(null=True, db_comment="When a check last succeeded.")
    failed_at = models.DateTimeField(null=True, db_comment="When a check last failed.")
    error = models.CharField(
        max_length=512, blank=True, default="", db_comment="The error of the last check, or empty."
    )

    def __str__(self) -> str:
        return self.version or "unknown"


class NewCoderapiRelease(Singleton):
    """The newest release of coderapi in the configured feed, and the result of the last reading."""

    version = models.CharField(
        max_length=64, blank=True, default="", db_comment="The newest release, or empty."
    )
    url = models.CharField(
        max_length=512, blank=True, default="", db_comment="The page of this release."
    )
    is_security = models.BooleanField(
        default=False, db_comment="Whether this or an earlier new release fixes a vulnerability."
    )
    summary = models.CharField(
        max_length=200, blank=True, default="", db_comment="What the release changes."
    )
    found_at = models.DateTimeField(null=True, db_comment="When the release was first in the feed.")
    succeeded_at = models.DateTimeField(null=True, db_comment="When the feed was last read.")
    error = models.CharField(
        max_length=512,
        blank=True,
        default="",
        db_comment="The last error, or empty.",
    )

    def __str__(self) -> str:
        return self.version or "unknown"


class ConfigRevision(models.Model):
    """The options at one startup. They are stored only if they differ from the previous revision.

    The fields contain no secrets. Shape: as in `options.redaction`.
    """

    digest = models.CharField(max_length=64, db_comment="A digest of the options.")
    host = models.CharField(max_length=255, db_comment="The host that recorded the options.")
    server_version = models.CharField(
        max_length=64, db_comment="The release of coderapi, or of Coder if coder_url is set."
    )
    coder_url = models.CharField(
        "URL of Coder",
        max_length=255,
        blank=True,
        default="",
        db_comment="The URL of the Coder deployment whose options these are. Empty for coderapi.",
    )
    recorded_at = models.DateTimeField(
        db_default=Now(), db_comment="When the revision was recorded."
    )
    values = models.JSONField(default=dict, db_comment="The value of each option, without secrets.")
    sources = models.JSONField(
        default=dict,
        db_comment="Where each value comes from: a flag, a variable, a file or the default.",
    )
    secret_digests = models.JSONField(
        default=dict,
        db_comment="A keyed digest of each secret, which shows changes. For Coder, its source.",
    )

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"revision {self.pk} ({self.short})"

    @property
    def short(self) -> str:
        return self.digest[:SHORT]
