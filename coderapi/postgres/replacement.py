"""Replaces all data of a database with a dump.

In one transaction, `replace` moves the tables of the service to the schema REPLACED, restores the
dump, and checks the restored tables. If a step fails, nothing is changed. After the commit, it
drops the old tables in batches. To move a table takes one lock, but to drop it takes about ten.
With several hundred partitions, one transaction that drops them would need more locks than
PostgreSQL has by default.

Owners and privileges of the tables are not restored: the tables belong to the service's role.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import batched
from threading import Thread
from typing import IO, Any, NamedTuple
from zipfile import BadZipFile

import psycopg

from coderapi.postgres.account import PostgresError
from coderapi.postgres.clients import Target
from kernel.db.backend.base import MARK
from kernel.db.replicas import PREFIX
from kernel.text.humanize import plural

REPLACED = "coderapi_replaced"
TABLES_PER_DROP = 20
# pg_restore of version 17 sets this parameter at the beginning of a script. Older servers reject
# it.
NEW_PARAMETER = b"SET transaction_timeout = 0;\n"
HEADER_LINES = 40

_ELSEWHERE = f"""
nspname !~ '^(pg_|information_schema$)' AND nspname <> '{REPLACED}'
AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = o.oid AND deptype = 'e')
"""
# All objects except those of extensions. The tables of the service are those of this release, and
# those that a migration of another release has created and marked. Partitions belong to the owner
# of their table, sequences to the table with the column, and functions to the tables with their
# triggers.
_OBJECTS = f"""
WITH RECURSIVE own (oid) AS (
    (
        SELECT to_regclass(quote_ident(name))::oid FROM unnest(%s::text[]) name
        UNION
        SELECT objoid FROM pg_description
        WHERE classoid = 'pg_class'::regclass AND objsubid = 0 AND description = '{MARK}'
    )
    UNION
    SELECT inhrelid FROM pg_inherits JOIN own ON inhparent = own.oid
), sequences (oid) AS (
    SELECT objid FROM pg_depend JOIN own ON refobjid = own.oid
    WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND deptype IN ('a', 'i')
), functions (oid) AS (
    SELECT tgfoid FROM pg_trigger JOIN own ON tgrelid = own.oid
)
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
        WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
    o.oid::regclass::text AS name,
    CASE relkind WHEN 'S' THEN o.oid IN (TABLE sequences) ELSE o.oid IN (TABLE own) END AS is_own
FROM pg_class o JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {_ELSEWHERE}
UNION ALL
SELECT 'function', o.oid::regprocedure::text, o.oid IN (TABLE functions)
FROM pg_proc o JOIN pg_namespace n ON n.oid = pronamespace WHERE {_ELSEWHERE}
ORDER BY kind, name
"""  # noqa: S608 - constants
# A partitioned table has no rows of its own.
_TABLES = f"""
SELECT o.oid::regclass::text, relkind = 'r' AS has_rows, relispartition
FROM pg_class o JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p') AND {_ELSEWHERE}
"""  # noqa: S608 - constants
_REPLACED_TABLES = """
SELECT oid::regclass::text FROM pg_class
WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'p')
ORDER BY relispartition DESC
"""


class Object(NamedTuple):
    """A table, view, sequence or function. `name` is quoted as SQL needs it."""

    kind: str
    name: str
    is_own: bool


def described(on: Target) -> str:
    """Returns the number of tables and rows. A partitioned table counts as one table."""
    rows = 0
    # Each partition is counted in its own transaction, so that locks do not add up.
    with psycopg.connect(on.url, autocommit=True) as connection:
        found = connection.execute(_TABLES).fetchall()
        for name in (name for name, has_rows, _ in found if has_rows):
            [(count,)] = connection.execute(f"SELECT count(*) FROM {name}")  # noqa: S608
            rows += count
    tables = sum(not is_partition for *_, is_partition in found)
    return f"{plural(tables, 'table')} with {plural(rows, 'row')}"


def check_replaceable(on: Target, *, own_tables: Iterable[str]) -> bool:
    """Checks whether the database contains only the service's objects. Returns whether it has any.

    Raises: PostgresError if the service is running, or for an object that is not the service's.
    """
    with psycopg.connect(on.url) as connection:
        users = connection.execute(
            "SELECT DISTINCT substr(application_name, %s) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, %s)",
            [len(PREFIX) + 1, PREFIX],
        ).fetchall()
        objects = _objects(connection, own_tables)
    if users:
        names = ", ".join(sorted(name.partition("#")[0] for (name,) in users))
        raise PostgresError(
            f"Stop the service first. These processes (host:process) use its database: {names}."
        )
    if foreign := next((each for each in objects if not each.is_own), None):
        raise PostgresError(
            f"The database has objects that are not of this service, such as the {foreign.kind} "
            f"{foreign.name}. A restore replaces everything. Use a separate database for the "
            "service."
        )
    return bool(objects)


def _objects(connection: psycopg.Connection[Any], own_tables: Iterable[str]) -> list[Object]:
    return [Object(*row) for row in connection.execute(_OBJECTS, [[*own_tables]])]


class PsqlCursor:
    """Runs queries in the session of psql, with the methods of a cursor. Columns need names."""

    def __init__(self, psql: Any, connection: psycopg.Connection[Any]) -> None:
        self._psql = psql
        self._quoting = psycopg.ClientCursor(connection)
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, query: str, values: Sequence[object] = ()) -> None:
        """Raises: BrokenPipeError if psql has failed."""
        text = self._quoting.mogrify(query.encode(), values).strip()
        self._psql.stdin.write(
            "SELECT replace(coalesce(json_agg(line), '[]')::text, E'\\n', '')"  # noqa: S608
            f" FROM ({text}) line;\n".encode()
        )
        if not (line := self._psql.stdout.readline()):
            raise BrokenPipeError
        self._rows = [tuple(row.values()) for row in json.loads(line)]

    def fetchone(self) -> tuple[Any, ...]:
        return self._rows[0]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


def replace(
    on: Target,
    dump: IO[bytes],
    *,
    own_tables: Iterable[str],
    check: Callable[[PsqlCursor], object],
) -> None:
    """Replaces the service's tables with the dump, in one transaction.

    pg_restore writes an SQL script, and psql runs it. `check` may read the restored tables before
    the commit, and raises an error to reject them. Raises: PostgresError, and the errors of
    `check`. The database is then unchanged.
    """
    _drop_replaced(on)  # An earlier restore may have been killed after its commit.
    psql = [
        *(on.programs.program("psql"), "--no-psqlrc", "--quiet", f"--output={os.devnull}"),
        *("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--tuples-only", "--no-align"),
    ]
    is_complete = False
    begin = moving(on, own_tables).encode()
    with tempfile.TemporaryFile() as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        with (
            suppress(BrokenPipeError),  # psql has failed. Its exit status is checked below.
            psycopg.connect(on.url) as connection,
            started(psql, on, **pipes) as reader,
        ):
            reader.stdin.write(begin)
            if _write_script(on, dump, into=reader.stdin, errors=errors):
                # The script has changed the search path and the output.
                reader.stdin.write(b"RESET search_path;\n\\o\n")
                check(PsqlCursor(reader, connection))
                reader.stdin.write(b"COMMIT;\n")
                is_complete = True
        if reader.returncode or not is_complete:
            raise PostgresError(
                f"Nothing is changed: the restore failed.\n{_explained(text_of(errors))}"
            )
    _drop_replaced(on)


def moving(on: Target, own_tables: Iterable[str]) -> str:
    """Returns SQL that begins a transaction and moves the service's objects aside."""
    with psycopg.connect(on.url) as connection:
        own = [each for each in _objects(connection, own_tables) if each.is_own]
    # A sequence moves together with its table.
    words = {"table": "TABLE", "function": "ROUTINE"}
    lines = ["BEGIN", "SET LOCAL lock_timeout = '10s'"]
    lines += [f"CREATE SCHEMA {REPLACED}"] if own else []
    lines += [
        f"ALTER {words[each.kind]} {each.name} SET SCHEMA {REPLACED}"
        for each in own
        if each.kind in words
    ]
    return "".join(f"{line};\n" for line in lines)


def _drop_replaced(on: Target) -> None:
    with psycopg.connect(on.url, autocommit=True) as connection:
        names = [name for (name,) in connection.execute(_REPLACED_TABLES, [REPLACED])]
        for batch in batched(names, TABLES_PER_DROP):
            connection.execute(f"DROP TABLE IF EXISTS {', '.join(batch)} CASCADE".encode())
        connection.execute(f"DROP SCHEMA IF EXISTS {REPLACED} CASCADE".encode())


def _explained(errors: str) -> str:
    if "out of shared memory" not in errors:
        return errors
    return (
        f"{errors}\nThe dump has more partitions than the server can lock in one transaction. "
        "Increase max_locks_per_transaction in PostgreSQL's configuration, and restart PostgreSQL."
    )


def _write_script(on: Target, dump: IO[bytes], *, into: IO[bytes], errors: IO[bytes]) -> bool:
    """Writes the dump as an SQL script. Returns whether the script is complete."""
    command = [on.programs.program("pg_restore"), "--no-owner", "--no-privileges", "--file=-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
    with started(command, on, **pipes) as program:
        feeder = Thread(target=_feed, args=(dump, program.stdin), daemon=True)
        feeder.start()
        try:
            for _ in range(HEADER_LINES):
                line = program.stdout.readline()
                into.write(b"" if line == NEW_PARAMETER else line)
            shutil.copyfileobj(program.stdout, into)
        finally:
            program.stdout.close()
            feeder.join()
    return not program.returncode


def _feed(dump: IO[bytes], into: IO[bytes]) -> None:
    # A damaged file ends the dump early, which pg_restore reports.
    with suppress(BrokenPipeError, BadZipFile), into:
        shutil.copyfileobj(dump, into)


def started(command: Sequence[Any], on: Target, **pipes: Any) -> Any:
    return subprocess.Popen(command, env=on.environ, bufsize=0, **pipes)  # noqa: S603 - our own


def text_of(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace").strip()
