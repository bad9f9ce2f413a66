"""Runs queries in Coder's database. Never writes, and never waits long for a lock.

Each query is a read-only transaction of its own, with its own time limits. This works on a replica
and behind PgBouncer, which rejects limits in the connection parameters, and may run the next
transaction on another connection. No query needs a temporary table, an advisory lock or a prepared
statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader

from jobs.registry import JobFailedError
from kernel.db.connections import LIVENESS, SESSION, LimitedConnection, setting, sqlstate
from kernel.release import PROGRAM
from kernel.telemetry.logs import scrub

SECONDS = 5
# PostgreSQL would compile some of the queries (JIT), which takes longer than running them.
LIMITS = setting(
    SESSION
    | {"statement_timeout": f"{SECONDS}s", "lock_timeout": "1s"}
    | {"timezone": "UTC", "datestyle": "ISO", "jit": "off"},
    locally=True,
)
# `stats.ingest` parses these types from text, as in files.
AS_TEXT = ("uuid", "timestamptz")

_CHECK = f"`{PROGRAM} check_coder`"
_REASONS = {
    "42501": f"{{}}. {_CHECK} prints the statement that lets the role read it.",
    "42P01": f"{{}}. {_CHECK} lists what is missing.",
    "42703": f"{{}}. {_CHECK} lists what is missing.",
    "57014": f"A query took longer than {SECONDS} seconds and was stopped.",
    "55P03": "A table is locked, probably because Coder is being upgraded.",
    "40001": "The replica stopped a query, because it conflicts with its replication.",
}


class CoderDatabaseError(JobFailedError):
    """Coder's database cannot be read. The message contains the reason, but no secret."""


class Reader(LimitedConnection):
    """Reads Coder's database."""

    # The client stops waiting after this time, because a frozen server cannot stop a query.
    seconds = 10.0

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """Returns the rows of a query, by column name. UUIDs and times are strings.

        Raises: CoderDatabaseError.
        """
        try:
            with self.transaction(), self.cursor() as cursor:
                cursor.execute(LIMITS)
                cursor.execute(statement, values)
                return cursor.fetchall()
        except psycopg.Error as error:
            raise CoderDatabaseError(_reason(error)) from None


@contextmanager
def reading() -> Iterator[Reader]:
    """Connects to Coder's database for the block. Raises: CoderDatabaseError."""
    if not settings.CODER_DATABASE_URL:
        raise CoderDatabaseError("CODERAPI_CODER_DATABASE_URL is not set.")
    try:
        parameters: dict[str, Any] = {**LIVENESS, **conninfo_to_dict(settings.CODER_DATABASE_URL)}
        parameters |= {"application_name": "coderapi", "prepare_threshold": None}
        # From a database in SQL_ASCII, psycopg would otherwise return bytes.
        parameters["client_encoding"] = "UTF8"
        reader = Reader.connect(autocommit=True, row_factory=dict_row, **parameters)
    except psycopg.ProgrammingError:
        # Its message contains a part of the URL.
        raise CoderDatabaseError("CODERAPI_CODER_DATABASE_URL is not a valid URL.") from None
    except psycopg.Error as error:
        raise CoderDatabaseError(_reason(error)) from None
    reader.read_only = True
    set_json_loads(orjson.loads, reader)
    for name in AS_TEXT:
        reader.adapters.register_loader(name, TextLoader)
    with reader:
        yield reader


def _reason(error: psycopg.Error) -> str:
    first = scrub(str(error).strip().partition("\n")[0])
    known = _REASONS.get(sqlstate(error) or "")
    text = known.format(first) if known else f"{first or 'The connection was lost'}."
    return f"Coder's database cannot be read: {text}"
