"""Connects PostgreSQL's programs to the service's database, and runs psql.

The service's database is the private database, or the database in the URL. The programs get the
connection parameters as environment variables. The parameters include the password, and other users
can read the command lines of all processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coderapi.postgres.binaries import Binaries, chosen, found
from coderapi.postgres.files import variables_of
from coderapi.postgres.sharing import acquire


@dataclass(frozen=True, slots=True)
class Target:
    """A database: its URL, and the programs and environment variables to connect to it."""

    url: str
    programs: Binaries
    environ: Mapping[str, str]


@contextmanager
def target(
    url: str,
    data_dir: Path,
    *,
    make: bool = False,
    durable: bool = True,
    programs: Binaries | None = None,
) -> Iterator[Target]:
    """Yields the database of the URL. If the URL is empty, runs and yields the private database.

    `make`, `durable` and `programs` are passed to `acquire`. Raises: PostgresError.
    """
    if url:
        environ = {**os.environ, **variables_of(url)}
        yield Target(url, programs_for(url), environ)
        return
    handle = acquire(data_dir, make=make, durable=durable, programs=programs)
    # The caller's PG* variables may belong to another database.
    outside = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    try:
        yield Target(handle.url, handle.programs, outside | variables_of(handle.url))
    finally:
        handle.release()


def programs_for(url: str) -> Binaries:
    """Returns programs of the server's own major version, or the newest programs.

    Newer programs work with the server, but may write a dump that it rejects. Raises: PostgresError
    if PostgreSQL is not installed.
    """
    import psycopg  # Imported here, because most starts do not need it.

    try:
        with psycopg.connect(url) as connection:
            major = connection.info.server_version // 10_000
    except psycopg.OperationalError:
        # The program reports the error.
        major = 0
    installed = found()
    same = [binaries for binaries in installed if binaries.major == major]
    newest = sorted(installed, key=lambda binaries: binaries.version, reverse=True)
    return chosen(same or newest, major=None, home=Path())


def run_psql(arguments: Sequence[str], *, on: Target) -> int:
    """Runs psql. Returns its exit status, or 128 plus the number of a signal."""
    # Ctrl-C must end the program, but not this process. So this process sets a handler that does
    # nothing. It does not set SIG_IGN, because the program would inherit it and ignore Ctrl-C, too.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = subprocess.run(  # noqa: S603 - our own program, the user's arguments, no shell
            [on.programs.program("psql"), *arguments], check=False, env=on.environ
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
