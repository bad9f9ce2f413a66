"""Writes and restores backups: a dump of the database and the secret key in one file.

A backup is a zip archive that only its owner may read. `write` creates it under a temporary name,
and restores it into a temporary server. If that succeeds, `write` renames it to the requested name.
So every backup has been tested.

`replace` drops all tables of a database and restores a dump, in one transaction. If a step fails,
nothing is changed.

Owners and privileges of the tables are not restored: the tables belong to the service's role.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import psycopg

from kernel.datadir import PASSABLE
from kernel.db.replicas import PREFIX
from kernel.postgres.account import PostgresError
from kernel.postgres.clients import Target, target
from kernel.postgres.files import unfollowed
from kernel.release import PROGRAM

ABOUT, SECRET_KEY, DUMP = "about.json", "secret_key", "database.dump"
MAX_SMALL_BYTES = 64 * 1024

# All tables, views and sequences, except those that belong to extensions.
_RELATIONS = """
SELECT relname AS name, c.oid::regclass::text AS quoted, relkind, relispartition
FROM pg_class c
WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
  AND relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
"""
# `is_late` is true for objects that are dropped after the tables, because tables own sequences, and
# the triggers of tables need functions. Collects all names first, because CASCADE changes the
# catalog.
_DROP_ALL = f"""
BEGIN;
SET LOCAL lock_timeout = '10s';
DO $$
DECLARE statements text[]; statement text;
BEGIN
  SELECT array_agg(format('DROP %s IF EXISTS %s CASCADE', kind, quoted) ORDER BY is_late)
  INTO statements FROM (
    SELECT relkind = 'S' AS is_late, quoted, CASE relkind WHEN 'v' THEN 'VIEW'
      WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
    FROM ({_RELATIONS}) r
    UNION ALL
    SELECT true, oid::regprocedure::text, 'ROUTINE' FROM pg_proc p
    WHERE pronamespace::regnamespace::text !~ '^(pg_|information_schema$)'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
  ) objects;
  FOREACH statement IN ARRAY coalesce(statements, ARRAY[]::text[]) LOOP EXECUTE statement; END LOOP;
END $$;
"""  # noqa: S608 - a constant


class Contents(NamedTuple):
    """An open backup. `about` has the members `release` and `made_at`."""

    about: dict[str, str]
    secret_key: str
    dump: IO[bytes]


# --- The database -----------------------------------------------------------------------------


def described(on: Target) -> str:
    """Returns the number of tables and rows. A partitioned table counts as one table."""
    with psycopg.connect(on.url) as connection:
        tables = connection.execute(
            f"SELECT quoted FROM ({_RELATIONS}) r"  # noqa: S608
            " WHERE relkind IN ('r', 'p') AND NOT relispartition"
        ).fetchall()
        counts = [
            connection.execute(f"SELECT count(*) FROM {name}").fetchone()  # noqa: S608 - quoted
            for (name,) in tables
        ]
    return f"{len(tables)} tables with {sum(row[0] for row in counts if row):,} rows"


def check_replaceable(on: Target, *, own_prefixes: Sequence[str]) -> bool:
    """Checks whether all tables of the database may be dropped. Returns whether it has tables.

    Raises: PostgresError if the service is running, or if the name of a table starts with none of
    `own_prefixes`.
    """
    with psycopg.connect(on.url) as connection:
        users = connection.execute(
            "SELECT DISTINCT substr(application_name, %s) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, %s)",
            [len(PREFIX) + 1, PREFIX],
        ).fetchall()
        tables = [name for (name, _, kind, _) in connection.execute(_RELATIONS) if kind != "S"]
    if users:
        names = ", ".join(sorted(name.partition("#")[0] for (name,) in users))
        raise PostgresError(
            f"Stop the service first. These processes (host:process) use its database: {names}."
        )
    if foreign := [name for name in tables if not name.startswith(tuple(own_prefixes))]:
        raise PostgresError(
            f"The database has tables that are not of this service, such as {foreign[0]}. A "
            "restore would drop them. Use a separate database for the service."
        )
    return bool(tables)


def replace(on: Target, dump: IO[bytes]) -> None:
    """Drops all tables and restores the dump, in one transaction.

    pg_restore writes an SQL script, and psql runs it. Raises: PostgresError. The database is then
    unchanged.
    """
    psql = [
        *(on.programs.program("psql"), "--no-psqlrc", "--quiet", f"--output={os.devnull}"),
        *("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"),
    ]
    is_complete = False
    with tempfile.TemporaryFile() as errors:
        with (
            suppress(BrokenPipeError),  # psql has failed. Its exit status is checked below.
            _started(psql, on, stdin=subprocess.PIPE, stderr=errors) as reader,
        ):
            reader.stdin.write(_DROP_ALL.encode())
            is_complete = _write_script(on, dump, into=reader.stdin, errors=errors)
            if is_complete:
                reader.stdin.write(b"COMMIT;\n")
        if reader.returncode or not is_complete:
            raise PostgresError(f"Nothing is changed: the restore failed.\n{_text_of(errors)}")


def _write_script(on: Target, dump: IO[bytes], *, into: IO[bytes], errors: IO[bytes]) -> bool:
    """Writes the dump as an SQL script. Returns whether the script is complete."""
    command = [on.programs.program("pg_restore"), "--no-owner", "--no-privileges", "--file=-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": into, "stderr": errors}
    with _started(command, on, **pipes) as program, suppress(BrokenPipeError):
        shutil.copyfileobj(dump, program.stdin)
    return not program.returncode


def _started(command: Sequence[Any], on: Target, **pipes: Any) -> Any:
    return subprocess.Popen(command, env=on.environ, bufsize=0, **pipes)  # noqa: S603 - our own


def _text_of(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace").strip()


# --- The file ---------------------------------------------------------------------------------


def write(file: Path, on: Target, *, secret_key: str, release: str, now: datetime) -> str:
    """Writes a backup and tests it with a restore. Describes the restored database.

    Raises: PostgresError, OSError. After an error, `file` is neither created nor changed.
    """
    if os.path.lexists(file):
        raise PostgresError(f"{file} exists already: name another file.")
    _check_version(on)
    about = {"release": release, "made_at": now.isoformat(timespec="seconds")}
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with (
            open(draft, "xb", opener=unfollowed) as stream,
            zipfile.ZipFile(stream, "w") as archive,
        ):
            archive.writestr(ABOUT, json.dumps(about))
            archive.writestr(SECRET_KEY, secret_key)
            with archive.open(DUMP, "w", force_zip64=True) as dump:
                _dump(on, dump)
        found = _restored_once(draft, on)
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    return found


def _check_version(on: Target) -> None:
    with psycopg.connect(on.url) as connection:
        major = connection.info.server_version // 10_000
    if major > on.programs.major:
        raise PostgresError(
            f"The server is PostgreSQL {major}, but the newest pg_dump on this machine is from "
            f"{on.programs}. Install the programs of PostgreSQL {major}."
        )


def _dump(on: Target, into: IO[bytes]) -> None:
    command = [on.programs.program("pg_dump"), "--format=custom"]
    with tempfile.TemporaryFile() as errors:
        with _started(command, on, stdout=subprocess.PIPE, stderr=errors) as program:
            shutil.copyfileobj(program.stdout, into)
        if program.returncode:
            raise PostgresError(f"The dump failed.\n{_text_of(errors)}")


def _restored_once(file: Path, on: Target) -> str:
    with tempfile.TemporaryDirectory(prefix="coderapi-scratch-") as folder:
        # If this process runs as root, PostgreSQL runs as another account, which must be able to
        # enter the directory.
        Path(folder).chmod(PASSABLE)
        with target("", Path(folder), make=True, durable=False) as found, opened(file) as contents:
            scratch = dataclasses.replace(found, programs=on.programs)
            replace(scratch, contents.dump)
            return described(scratch)


def _small_entries(archive: zipfile.ZipFile) -> tuple[dict[str, str], str]:
    """Returns the description and the secret key of a backup. Raises: BadZipFile."""
    texts = []
    try:
        for name in (ABOUT, SECRET_KEY):
            with archive.open(name) as entry:
                texts.append(entry.read(MAX_SMALL_BYTES).decode())
        found = json.loads(texts[0])
        about = {name: str(found[name]) for name in ("made_at", "release")}
    except (ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
        raise zipfile.BadZipFile(f"an entry is not readable: {type(error).__name__}") from None
    if not texts[1].strip() or not all(text.isprintable() for text in about.values()):
        raise zipfile.BadZipFile("the secret key is empty, or the description is not plain text")
    return about, texts[1]


@contextmanager
def opened(file: Path) -> Iterator[Contents]:
    """Opens a backup. Raises: OSError; PostgresError if the file is damaged or not a backup."""
    try:
        with zipfile.ZipFile(file) as archive:
            if not {ABOUT, SECRET_KEY, DUMP} <= set(archive.namelist()):
                raise zipfile.BadZipFile("an entry is missing")
            about, key = _small_entries(archive)
            with archive.open(DUMP) as dump:
                yield Contents(about, key, dump)
    except zipfile.BadZipFile as error:
        raise PostgresError(
            f"{file} is not a complete backup ({error}). To restore a file that pg_dump "
            f"wrote, use `{PROGRAM} postgres restore --replace`."
        ) from None
