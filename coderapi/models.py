from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Schema(models.Model):
    """A schema that the database has had. `migrate` writes a row for each; the last one counts."""

    number = models.IntegerField(primary_key=True)
    serves_from = models.IntegerField(
        help_text="The lowest schema number whose release works with this schema."
    )
    release = models.CharField(max_length=64, help_text="The release that has migrated to it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"schema {self.number} of release {self.release}"
