"""The number of the database's schema, and which releases work with it.

A release that adds migrations increases SCHEMA. `migrate` then stores the number, the release, and
SERVES_FROM. So an older release can find out whether it may use the database of a newer one: it may
if its own SCHEMA is at least SERVES_FROM.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import CommandError

logger = logging.getLogger(__name__)

SCHEMA = 1
# The lowest schema number whose release works with this schema. Increase it only with a migration
# that removes what the previous release no longer uses.
SERVES_FROM = 1

_NEWEST = "SELECT number, serves_from, release FROM coderapi_schema ORDER BY number DESC LIMIT 1"
_RECORD = """
INSERT INTO coderapi_schema (number, serves_from, release) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING
"""


class Stored(NamedTuple):
    """The schema of the database."""

    number: int
    serves_from: int
    release: str

    @property
    def is_newer(self) -> bool:
        return self.number > SCHEMA

    @property
    def refusal(self) -> str:
        """The reason why this release cannot use the database, or "" if it can."""
        if self.serves_from <= SCHEMA:
            return ""
        return (
            f"The release {self.release} has migrated the database to schema {self.number}, which "
            f"works only with releases of schema {self.serves_from} and later. This release, "
            f"{settings.VERSION}, has schema {SCHEMA}. Use a newer release, or restore a backup "
            "of this release."
        )


def stored_schema(cursor: Any) -> Stored | None:
    """Returns the schema of the database, or None before its first migration."""
    cursor.execute("SELECT to_regclass('coderapi_schema') IS NOT NULL AS found")
    if not cursor.fetchone()[0]:
        return None
    cursor.execute(_NEWEST)
    rows = cursor.fetchall()
    return Stored(*rows[0]) if rows else None


def check_schema(cursor: Any) -> None:
    """Raises CommandError if a newer release has changed the schema too much for this one."""
    stored = stored_schema(cursor)
    if stored and stored.refusal:
        raise CommandError(stored.refusal)


def record_schema(cursor: Any) -> None:
    """Stores the schema of this release after its migrations. Logs if the database's is newer."""
    stored = stored_schema(cursor)
    if not stored or stored.number < SCHEMA:
        cursor.execute(_RECORD, [SCHEMA, SERVES_FROM, settings.VERSION])
    elif stored.is_newer:
        logger.warning(
            "The release %s has migrated the database to schema %s. This release, %s, works with "
            "it.",
            stored.release,
            stored.number,
            settings.VERSION,
        )
