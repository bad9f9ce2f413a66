from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now

from kernel.db.singleton import Singleton
from options.snapshot import SHORT


class DeploymentIdentity(Singleton):
    """The id and the web-push key of this deployment. They are created once and never change."""

    deployment_id = models.UUIDField(default=uuid.uuid4, editable=False)
    vapid_private_key = models.BinaryField(editable=False)
    vapid_public_key = models.CharField(max_length=128, editable=False)

    class Meta(Singleton.Meta):
        verbose_name_plural = "deployment identities"

    def __str__(self) -> str:
        return str(self.deployment_id)


class UpdateCheck(Singleton):
    """The newest known release of Coder, and the result of the last update check.

    `url_digest` is a digest of the requested URL, because the URL may contain a secret. `failed_at`
    is the time of the last failed check. `error` is the error of the last check, or empty.
    """

    version = models.CharField(max_length=64, blank=True, default="")
    url = models.CharField(max_length=512, blank=True, default="")
    etag = models.CharField(max_length=256, blank=True, default="")
    url_digest = models.CharField(max_length=512, blank=True, default="")
    succeeded_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=512, blank=True, default="")

    def __str__(self) -> str:
        return self.version or "unknown"


class ConfigRevision(models.Model):
    """The options at one startup. They are stored only if they differ from the previous revision.

    The fields contain no secrets. Shape: as in `options.snapshot`. If these are the options of
    another server, `server_url` is its URL. Otherwise it is empty.
    """

    digest = models.CharField(max_length=64)
    host = models.CharField(max_length=255)
    version = models.CharField(max_length=64)
    server_url = models.CharField(max_length=255, blank=True, default="")
    recorded_at = models.DateTimeField(db_default=Now())
    values = models.JSONField(default=dict)
    sources = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"revision {self.pk} ({self.short})"

    @property
    def short(self) -> str:
        return self.digest[:SHORT]
