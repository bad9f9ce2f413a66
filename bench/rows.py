"""Rows that the bench writes without the service: users, keys, and copies of any table's rows.

A copy of a stored row has the service's own value in every column, so these functions need not be
changed when a table gets another column.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import psycopg
from psycopg import sql

from bench.load import BenchError

SECRET = "a" * 22
OWNER_TOKEN = f"00000owner-{SECRET}"
# This user has TOKENS tokens.
LISTED_TOKEN = f"0000lister-{SECRET}"
TOKENS = 20
PEOPLE = 1_000
COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER'
    AND (is_identity = 'NO' OR column_name = ANY(%s))
ORDER BY ordinal_position
"""
READER_ID = "lpad(((n - 1) % {people} + 1)::text, 32, '0')::uuid"

type Connection = psycopg.Connection[Any]


def multiply(connection: Connection, table: str, count: int, /, **values: str) -> None:
    """Inserts copies of a row of the table.

    `values` has an SQL expression for each column that differs. In the expressions, `n` counts the
    copies from 1.
    """
    names = _columns(connection, table, *values)
    if unknown := values.keys() - set(names):
        raise BenchError(f"The table {table} has no columns {', '.join(sorted(unknown))}.")
    chosen = [sql.SQL(values[name]) if name in values else sql.Identifier(name) for name in names]
    query = sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {chosen} FROM"
        " (SELECT * FROM {table} LIMIT 1) AS pattern, generate_series(1, {count}) AS n"
    ).format(
        table=sql.Identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        chosen=sql.SQL(", ").join(chosen),
        count=sql.Literal(count),
    )
    connection.execute(query)


def _columns(connection: Connection, table: str, *also: str) -> list[str]:
    """Returns the columns to insert. PostgreSQL fills the others, unless they are in `also`."""
    found = connection.execute(COLUMNS, [table, list(also)]).fetchall()
    if not found:
        raise BenchError(f"The database has no table {table}.")
    return [row[0] for row in found]


def make_people(connection: Connection, *, users: int = 0, readers: int = 0) -> None:
    """Creates a session key of the owner, more users, and a session key for each reader.

    `PEOPLE` users share the readers' keys. One user has `TOKENS` tokens and a session key.
    """
    make_users(connection, 1, max(users, min(readers, PEOPLE), 1))
    make_keys(connection, 1, id="'00000owner'")
    listed = READER_ID.format(people=1)
    make_keys(connection, 1, id="'0000lister'", user_id=listed)
    make_keys(
        connection,
        TOKENS,
        id="lpad('t' || n, 10, '0')",
        user_id=listed,
        login_type="'token'",
        token_name="'token-' || n",  # noqa: S106 - a column
    )
    make_readers(connection, readers, people=PEOPLE)
    connection.execute("VACUUM ANALYZE")


def make_users(connection: Connection, first: int, last: int) -> None:
    """Creates the users with these numbers. They have the role member only."""
    number = f"(n + {first - 1})"
    multiply(
        connection,
        "users_user",
        last - first + 1,
        id=f"lpad({number}::text, 32, '0')::uuid",
        username=f"'user-' || {number}",
        email=f"'user-' || {number} || '@example.com'",
        roles="'{}'",
    )


def make_readers(connection: Connection, count: int, *, people: int) -> None:
    """Creates session keys of the first users. The ids of the keys are r000000001 and so on."""
    user = READER_ID.format(people=people)
    make_keys(connection, count, id="'r' || lpad(n::text, 9, '0')", user_id=user)


def make_keys(connection: Connection, count: int, **values: str) -> None:
    """Creates session keys that were used just now. Their secret is SECRET."""
    own = {
        "hashed_secret": rf"'\x{hashlib.sha256(SECRET.encode()).hexdigest()}'::bytea",
        "token_name": "''",
        "login_type": "'password'",
        "last_used": "now()",
        "expires_at": "now() + interval '1 day'",
        "lifetime_ns": "86400000000000",
        "created_at": "now()",
    }
    multiply(connection, "tokens_apikey", count, **own | values)


def evict_readers(connection: Connection) -> None:
    """Changes the readers' users, so that the service evicts all their keys from its caches."""
    last = f"{PEOPLE:0>32}"
    for status in ("suspended", "active"):
        connection.execute("UPDATE users_user SET status = %s WHERE id <= %s", [status, last])


def make_touch_due(connection: Connection) -> None:
    """Sets the last use of the readers' keys so far back that the next use must be stored."""
    connection.execute(
        "UPDATE tokens_apikey SET last_used = now() - interval '2 days' WHERE id LIKE 'r%'"
    )


def copy_of(connection: Connection, table: str) -> str:
    """Creates an empty table with the same columns and indexes. Returns its name."""
    name = f"bench_{table}"
    connection.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} (LIKE {} INCLUDING ALL)").format(
            sql.Identifier(name), sql.Identifier(table)
        )
    )
    return name


def insert_of(connection: Connection, table: str, into: str, *, newest: str, **values: str) -> str:
    """Returns a statement for pgbench that inserts the newest row of the table into another table.

    `newest` is the column with the row's time.
    `values` has an SQL expression for each column that differs.
    """
    names = _columns(connection, table)
    texts = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in names]
    query = sql.SQL("SELECT {} FROM {} ORDER BY {} DESC LIMIT 1").format(
        sql.SQL(", ").join(texts), sql.Identifier(table), sql.Identifier(newest)
    )
    row = connection.execute(query).fetchone()
    if row is None:
        raise BenchError(f"The table {table} is empty.")
    chosen = [values.get(name, literal(text)) for name, text in zip(names, row, strict=True)]
    return f"INSERT INTO {into} ({', '.join(names)}) VALUES ({', '.join(chosen)});\n"  # noqa: S608 - ours


def literal(text: str | None) -> str:
    """Returns an SQL literal without a colon, because pgbench would read it as a variable."""
    if text is None:
        return "NULL"
    quoted = text.replace("\\", r"\\").replace("'", r"\'").replace(":", r"\072")
    return f"E'{quoted}'"


def exported(connection: Connection, table: str, *, limit: int) -> bytes:
    """Returns rows of the table in the format of COPY."""
    query = sql.SQL("COPY (SELECT {} FROM {} LIMIT {}) TO STDOUT").format(
        _listed(connection, table), sql.Identifier(table), sql.Literal(limit)
    )
    with connection.cursor().copy(query) as copy:
        return b"".join(bytes(block) for block in copy)


def copied(connection: Connection, table: str, data: bytes) -> float:
    """Copies exported rows into the table's empty copy. Returns the duration in seconds."""
    target = sql.Identifier(copy_of(connection, table))
    connection.execute(sql.SQL("TRUNCATE {}").format(target))
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(target, _listed(connection, table))
    begun = time.perf_counter()
    with connection.cursor().copy(query) as copy:
        copy.write(data)
    return time.perf_counter() - begun


def _listed(connection: Connection, table: str) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, _columns(connection, table)))
