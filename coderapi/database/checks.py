"""Checks whether this release can use the database."""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.core.management.base import CommandError
from django.db import connections

from coderapi.database.schema import first_difference
from kernel.db.schema_number import check_schema
from kernel.release import PROGRAM

UNUSABLE = f"""\
This release cannot use the database: {{difference}}. Another release has created the tables, and \
no migration converts them. Use that release, or move the data to a new database:
  {PROGRAM} export_audit >audit.jsonl
  {PROGRAM} export_csp_reports >reports.jsonl
  {PROGRAM} export_agent_stats >rows.jsonl
Then set DATABASE_URL to a new database, or CODERAPI_DATA_DIR to a new directory, and run:
  {PROGRAM} migrate
  {PROGRAM} import_csp_reports reports.jsonl
  {PROGRAM} import_agent_stats rows.jsonl
Create users, tokens, token policies and ingest keys again. The audit trail stays in its file."""

DATABASE = """
SELECT current_database()::text AS name, getdatabaseencoding()::text AS encoding,
    current_schema()::text AS schema, current_user::text AS role,
    has_schema_privilege(current_schema(), 'CREATE') AS may_create,
    num_nulls(to_regclass('api_keys'), to_regclass('workspace_agent_stats')) = 0 AS is_coders
"""


def refuse_other_schemas(*, using: str, apps: Apps, **more: Any) -> None:
    """Raises CommandError if the database cannot be migrated.

    `apps` has the models as the applied migrations have left them.
    """
    with connections[using].cursor() as cursor:
        check_database(cursor)
        check_tables(cursor, apps)


def check_database(cursor: Any) -> None:
    """Raises CommandError if the service cannot use a database like this one."""
    cursor.execute(DATABASE)
    name, encoding, schema, role, may_create, is_coders = cursor.fetchone()
    if is_coders:
        raise CommandError(
            "The database contains the tables of Coder's server. Set DATABASE_URL to another "
            "database."
        )
    if encoding != "UTF8":
        raise CommandError(
            f"The database {name} has the encoding {encoding}, which cannot store every text. "
            f"Create a new database: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
        )
    if not may_create:
        where = f"the schema {schema}" if schema else f"any schema of the database {name}"
        raise CommandError(
            f"The role {role} may not create tables in {where}. The role must own the database: "
            f"ALTER DATABASE {name} OWNER TO {role}."
        )
    check_schema(cursor)


def check_tables(cursor: Any, known: Apps) -> None:
    """Raises CommandError if tables differ from the models, and names commands that move data.

    The names of migrations are not sufficient, because a migration may have been changed after it
    was applied.
    """
    if difference := first_difference(cursor, known.get_models()):
        raise CommandError(UNUSABLE.format(difference=difference))
