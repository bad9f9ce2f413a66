"""Writes and opens backups: a dump of the database and the secret key in one file.

A backup is a zip archive that only its owner may read. `write` creates it under a temporary name,
and restores it into a temporary server. If that succeeds, `write` renames it to the requested name.
So every backup has been tested.

A dump contains SQL of the role that wrote it, so restore only files that you trust. A dump is
restored by a role that is not a superuser, so the SQL cannot run programs on the server.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

import psycopg

from coderapi.postgres.account import PostgresError
from coderapi.postgres.clients import Target, target
from coderapi.postgres.datadir import PASSABLE
from coderapi.postgres.files import unfollowed
from coderapi.postgres.replacement import REPLACED, described, replace, started, text_of

ABOUT, SECRET_KEY, DUMP = "about.json", "secret_key", "database.dump"
MAX_SMALL_BYTES = 64 * 1024
# The number changes when this release can no longer read older backups, or older releases new ones.
FORMAT = 1
_MIGRATIONS = "SELECT app || '.' || name FROM django_migrations ORDER BY 1"
_SCHEMA = "SELECT max(number) FROM coderapi_schema"


class About(NamedTuple):
    """The description of a backup.

    `schema` is the number of the schema, and `migrations` are the applied ones, as `app.name`.
    """

    format: int
    release: str
    made_at: str
    schema: int
    migrations: list[str]

    @classmethod
    def parsed(cls, text: str) -> About:
        """Raises: ValueError, KeyError, TypeError if a member is missing or invalid."""
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise PostgresError(
                f"The backup has format {found['format']!r}, but this release reads only format "
                f"{FORMAT}. Use the release that made the backup: {found['release']!r}."
            )
        about = cls(**{name: found[name] for name in cls._fields})
        # `join` raises a TypeError if one of them is not a string.
        texts = (about.release, about.made_at, *about.migrations)
        if not "".join(texts).isprintable() or not isinstance(about.schema, int):
            raise ValueError
        return about


class Contents(NamedTuple):
    """An open backup."""

    about: About
    secret_key: str
    dump: IO[bytes]


def write(file: Path, on: Target, *, secret_key: str, release: str, now: datetime) -> str:
    """Writes a backup and tests it with a restore. Describes the restored database.

    Raises: PostgresError, OSError. After an error, `file` is neither created nor changed.
    """
    if os.path.lexists(file):
        raise PostgresError(f"{file} exists already: name another file.")
    if not file.parent.is_dir():
        raise PostgresError(f"{file.parent} is not a directory.")
    about = About(FORMAT, release, now.isoformat(timespec="seconds"), *_schema(on))
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with (
            open(draft, "xb", opener=unfollowed) as stream,
            zipfile.ZipFile(stream, "w") as archive,
        ):
            archive.writestr(ABOUT, json.dumps(about._asdict()))
            archive.writestr(SECRET_KEY, secret_key)
            with archive.open(DUMP, "w", force_zip64=True) as dump:
                _dump(on, dump)
        found = _restored_once(draft, on)
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    return found


def _schema(on: Target) -> tuple[int, list[str]]:
    """Returns the number of the schema, and the applied migrations.

    Raises: PostgresError if pg_dump is too old.
    """
    with psycopg.connect(on.url) as connection:
        major = connection.info.server_version // 10_000
        migrations = [name for (name,) in connection.execute(_MIGRATIONS)]
        number = connection.execute(_SCHEMA).fetchone()
    if major > on.programs.major:
        raise PostgresError(
            f"The server is PostgreSQL {major}, but the newest pg_dump on this machine is from "
            f"{on.programs}. Install the programs of PostgreSQL {major}."
        )
    return (number and number[0]) or 0, migrations


def _dump(on: Target, into: IO[bytes]) -> None:
    # The service needs no extension but plpgsql, which every database has. Extensions are not
    # dumped, because only a superuser could restore some of them.
    command = [
        *(on.programs.program("pg_dump"), "--format=custom", "--extension=plpgsql"),
        f"--exclude-schema={REPLACED}",
    ]
    with tempfile.TemporaryFile() as errors:
        with started(command, on, stdout=subprocess.PIPE, stderr=errors) as program:
            shutil.copyfileobj(program.stdout, into)
        if program.returncode:
            raise PostgresError(f"The dump failed.\n{text_of(errors)}")


def _restored_once(file: Path, on: Target) -> str:
    with tempfile.TemporaryDirectory(prefix="coderapi-scratch-") as folder:
        # If this process runs as root, PostgreSQL runs as another account, which must be able to
        # enter the directory.
        Path(folder).chmod(PASSABLE)
        scratch = target("", Path(folder), make=True, durable=False, programs=on.programs)
        with scratch as found, opened(file) as contents:
            replace(found, contents.dump, own_tables=(), check=lambda cursor: None)
            return described(found)


def _small_entries(archive: zipfile.ZipFile) -> tuple[About, str]:
    """Returns the description and the secret key of a backup. Raises: BadZipFile."""
    texts = []
    try:
        for name in (ABOUT, SECRET_KEY):
            with archive.open(name) as entry:
                texts.append(entry.read(MAX_SMALL_BYTES).decode())
        about = About.parsed(texts[0])
    except (ValueError, KeyError, TypeError, RuntimeError, NotImplementedError) as error:
        raise zipfile.BadZipFile(f"an entry is not readable: {type(error).__name__}") from None
    if not texts[1].strip():
        raise zipfile.BadZipFile("the secret key is empty")
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
        raise PostgresError(f"{file} is not a complete backup ({error}).") from None
