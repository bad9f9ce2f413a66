"""The base of models whose table has one row."""

from __future__ import annotations

from django.db import models


class Singleton(models.Model):
    """A model whose table has at most one row."""

    is_only_row = models.BooleanField(primary_key=True, default=True, editable=False)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=models.Q(is_only_row=True), name="%(app_label)s_%(class)s_only_one"
            )
        ]
