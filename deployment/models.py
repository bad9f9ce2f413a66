from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from deployment.history.models import *  # noqa: F403
from deployment.stats.models import *  # noqa: F403


class DeploymentIdentity(models.Model):
    """What this deployment is known by: made once, kept for ever."""

    only = models.BooleanField(primary_key=True, default=True, editable=False)
    deployment_id = models.UUIDField(default=uuid.uuid4, editable=False)
    vapid_private_key = models.BinaryField(editable=False)
    vapid_public_key = models.CharField(max_length=128, editable=False)

    class Meta:
        verbose_name_plural = "deployment identities"
        constraints = [
            models.CheckConstraint(condition=Q(only=True), name="deployment_identity_only_one"),
        ]

    def __str__(self) -> str:
        return str(self.deployment_id)


class UpdateCheck(models.Model):
    """The newest release of Coder that is known, and how the last look for it went."""

    only = models.BooleanField(primary_key=True, default=True, editable=False)
    version = models.CharField(max_length=64, blank=True, default="")
    url = models.CharField(max_length=512, blank=True, default="")
    etag = models.CharField(max_length=256, blank=True, default="")
    source = models.CharField(max_length=512, blank=True, default="")
    succeeded_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=512, blank=True, default="")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(only=True), name="update_check_only_one"),
        ]

    def __str__(self) -> str:
        return self.version or "never succeeded"
