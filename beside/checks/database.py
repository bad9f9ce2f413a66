"""Checks whether coderapi can read Coder's database: its role, tables and columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from beside.checks import Finding
from beside.database.connection import CoderDatabaseError, Reader, reading
from beside.database.rows import (
    AGENT_ROWS,
    TABLES,
    Rows,
    grant,
    oldest_row,
)
from kernel.admin import State
from kernel.text.humanize import ago, plural
from stats.ingest.members import BY_NAME, PLAIN
from stats.models import KIND_COLUMNS

ROLE = "coderapi_reader"
CHECK = "database"
SETTING = "CODERAPI_CODER_DATABASE_URL=the URL of Coder's database"
RELEASE = "Use the releases of Coder and coderapi that fit each other"

_SERVER = """
SELECT current_user AS role, current_setting('server_version') AS version,
       CASE WHEN pg_is_in_recovery() THEN 'a replica' ELSE 'a primary server' END AS kind
"""
# information_schema would not show columns that the role may not read.
_COLUMNS = """
SELECT t.name AS table, a.attname AS column,
       has_column_privilege(t.id, a.attnum, 'SELECT') AS readable,
       has_table_privilege(t.id, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable,
       quote_ident(current_user) AS role
FROM (SELECT name, to_regclass(name) AS id FROM unnest(%(tables)s::text[]) AS name) AS t
JOIN pg_attribute AS a ON a.attrelid = t.id AND a.attnum > 0 AND NOT a.attisdropped
"""
GRANTS = """\
CREATE ROLE {role} LOGIN PASSWORD 'choose-a-password';
GRANT CONNECT ON DATABASE "{database}" TO {role};
GRANT USAGE ON SCHEMA public TO {role};
{selects}"""


def grants(*, database: str) -> str:
    """Returns the SQL statements that create a role with the necessary rights, and no others."""
    selects = "\n".join(grant(table, ROLE) for table in TABLES)
    return GRANTS.format(role=ROLE, database=database, selects=selects)


def findings(now: datetime) -> list[Finding]:
    """Examines Coder's database. If it cannot be read, the only finding is the reason."""
    try:
        with reading() as reader:
            rows = reader.rows(_COLUMNS, tables=list(TABLES))
            return [_server(reader), *_tables(reader, rows, now), _rights(rows)]
    except CoderDatabaseError as error:
        return [Finding.failed(CHECK, str(error), SETTING)]


def _server(reader: Reader) -> Finding:
    (found,) = reader.rows(_SERVER)
    text = "The role is {role} on PostgreSQL {version}, {kind}."
    return Finding.ok(CHECK, text.format_map(found))


def _tables(reader: Reader, rows: Rows, now: datetime) -> Iterator[Finding]:
    found = {(row["table"], row["column"]): row for row in rows}
    for table, names in _columns(found).items():
        if not any((table, name) in found for name in names):
            yield Finding.failed(CHECK, f"The table {table} is missing.", SETTING)
            continue
        checked = [_wrong(table, name, found.get((table, name))) for name in names]
        wrong = list(filter(None, checked))
        yield from wrong
        if not wrong:
            columns = plural(len(names), "column")
            yield Finding.ok(CHECK, f"The table {table} has {columns} that can be read.")
            if table == AGENT_ROWS:
                yield _age(oldest_row(reader), now)


def _columns(found: Collection[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Returns the columns that are read, of each table: of agent rows, all that the table has.

    Coder 2.38 replaces four columns with sessions by one. Its upgrade may leave both for some time.
    """
    known = [name for table, name in found if table == AGENT_ROWS]
    is_old = BY_NAME not in known and not set(KIND_COLUMNS).isdisjoint(known)
    sessions = KIND_COLUMNS if is_old else (BY_NAME,)
    return TABLES | {AGENT_ROWS: tuple(dict.fromkeys((*PLAIN, *known, *sessions)))}


def _wrong(table: str, name: str, column: dict[str, Any] | None) -> Finding | None:
    """Returns the failed check of a column, or None."""
    where = f"{table}.{name}"
    if column is None:
        return Finding.failed(CHECK, f"The column {where} is missing.", RELEASE)
    if not column["readable"]:
        text = f"The column {where} cannot be read by this role."
        return Finding.failed(CHECK, text, grant(table, column["role"]))
    return None


def _age(oldest: datetime | None, now: datetime) -> Finding:
    if oldest is None:
        text = "The table of agent rows is empty. Has an agent connected?"
        return Finding(CHECK, State.NOTICE, text)
    text = f"The oldest agent row is from {oldest:%Y-%m-%d %H:%M} UTC ({ago(oldest, now=now)})."
    return Finding.ok(CHECK, text)


def _rights(rows: Rows) -> Finding:
    """Warns about rights that are not necessary."""
    writable = {row["table"] for row in rows if row["writable"]}
    if writable:
        names = ", ".join(table for table in TABLES if table in writable)
        text = f"The role may write {names}. --grant-sql prints a role that may not."
        return Finding(CHECK, State.NOTICE, text)
    return Finding.ok(CHECK, "The role cannot write these tables.")
