from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from deployment.history.snapshot import SHORT

__all__ = ["ConfigRevision"]


class ConfigRevisionQuerySet(models.QuerySet["ConfigRevision"]):
    def newest(self) -> ConfigRevision | None:
        return self.order_by("-id").first()


class ConfigRevision(models.Model):
    """The options of a start that differed from the revision before.

    Shape: as in `deployment.history.snapshot`; no secret is in any field.
    """

    digest = models.CharField(max_length=64)
    host = models.CharField(max_length=255)
    version = models.CharField(max_length=64)
    recorded_at = models.DateTimeField(db_default=Now())
    values = models.JSONField(default=dict)
    sources = models.JSONField(default=dict)
    secrets = models.JSONField(default=dict)

    objects = ConfigRevisionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"revision {self.pk} ({self.short})"

    @property
    def short(self) -> str:
        return self.digest[:SHORT]
