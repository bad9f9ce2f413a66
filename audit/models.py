from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import orjson
from django.db import connection, models
from django.db.models import Q

from kernel.db.paging import in_pages
from kernel.db.partitions import PartitionedTable

PARTITIONS = PartitionedTable(
    "audit_entry", timedelta(days=30), on_truncate="audit_entry_is_append_only"
)


class EntryQuerySet(models.QuerySet["Entry"]):
    def of_person(self, user_id: uuid.UUID) -> EntryQuerySet:
        """Filters entries with this user as actor or subject."""
        return self.filter(Q(actor_id=user_id) | Q(subject_id=user_id))

    def json_lines(self) -> Iterator[bytes]:
        """Yields the entries as JSON lines, ordered by id.

        Omits columns that the table does not have, because another release has created it.
        """
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, PARTITIONS.name)
        known = {column.name for column in columns}
        names = (field.attname for field in self.model._meta.concrete_fields)
        fields = [name for name in names if name in known]
        ordered = self.order_by("id").values(*fields)
        for page in in_pages(ordered, after=lambda row: Q(id__gt=row["id"])):
            for row in page:
                yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


class Entry(models.Model):
    """An audit entry: one action of a user or a command.

    The subject is the user whom the action concerns: the target itself, or the owner of the target.
    A database trigger rejects updates and deletions. Users are stored without a foreign key, so
    that an entry remains after the user is deleted.
    """

    id = models.BigAutoField(primary_key=True)
    created_at = models.DateTimeField("time")
    actor_id = models.UUIDField(
        null=True, db_comment="The id of the user who acted. NULL for commands and jobs."
    )
    actor_name = models.CharField(
        max_length=64, blank=True, db_comment="The name of the user or the command."
    )
    action = models.CharField(max_length=64, db_comment="What was done, such as token_config.set.")
    target_type = models.CharField(
        max_length=64, blank=True, db_comment="The type of the object, such as api_key."
    )
    target_id = models.CharField(max_length=64, blank=True, db_comment="The id of the object.")
    target_name = models.CharField(
        max_length=254, blank=True, db_comment="The name of the object at that time."
    )
    subject_id = models.UUIDField(
        null=True, db_comment="The id of the user whom the action concerns."
    )
    subject_name = models.CharField(
        max_length=64, blank=True, db_comment="The name of this user at that time."
    )
    ip_address = models.CharField(
        max_length=64, blank=True, db_comment="The address of the client."
    )
    request_id = models.CharField(
        max_length=36,
        blank=True,
        db_comment="The id of the request, as in the log and in the header X-Coder-Request-Id.",
    )
    before = models.JSONField(null=True, db_comment="The changed values before the action.")
    after = models.JSONField(null=True, db_comment="The changed values after the action.")

    objects = EntryQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.actor_name or 'the system'} {self.action} {self.target_name}".strip()
