from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import models
from django.db.models import Q

from kernel.db.partitions import PartitionedTable

PARTITIONS = PartitionedTable("audit_entry", timedelta(days=30))


class EntryQuerySet(models.QuerySet["Entry"]):
    def of_person(self, user_id: uuid.UUID) -> EntryQuerySet:
        """Chooses what the person did, and what was done to the person."""
        done_to = Q(target_type="user", target_id=str(user_id))
        return self.filter(Q(actor_id=user_id) | done_to)


class Entry(models.Model):
    """One thing that somebody did. Append-only: PostgreSQL itself refuses to change or delete it.

    Users are named by value, not by a foreign key, so that an entry outlives the user.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64)
    target_type = models.CharField(max_length=64, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_name = models.CharField(max_length=254, blank=True)
    address = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=36, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    objects = EntryQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.actor_name or 'the system'} {self.action} {self.target_name}".strip()
