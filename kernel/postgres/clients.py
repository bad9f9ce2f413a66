"""PostgreSQL's own programs on the service's database, private or named by a URL.

Environment variables lead them to it: on a command line, other users could read the password.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel.postgres.binaries import Binaries, newest_programs
from kernel.postgres.place import variables_of
from kernel.postgres.sharing import acquire

# The actions of `manage.py postgres` that run a program.
CLIENTS = {"psql": "psql", "dump": "pg_dump", "restore": "pg_restore"}
# With one of these options, pg_restore needs no database, or names it itself.
NAMES_A_TARGET = ("-d", "--dbname", "-f", "--file", "-l", "--list", "--help", "-?", "--version")


@dataclass(frozen=True, slots=True)
class Target:
    """A database: its URL, and the programs and variables that reach it."""

    url: str
    programs: Binaries
    environ: Mapping[str, str]


@contextmanager
def target(
    url: str, data_dir: Path, *, make: bool = False, durable: bool = True
) -> Iterator[Target]:
    """Yields the database of the URL, or without a URL the private one, which runs meanwhile.

    `make` and `durable` are those of `acquire`. Raises: PostgresError.
    """
    if url:
        environ = {**os.environ, **variables_of(url)}
        yield Target(url, newest_programs(data_dir), environ)
        return
    handle = acquire(data_dir, make=make, durable=durable)
    # The caller's own variables may name another database.
    outside = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    try:
        yield Target(handle.url, handle.programs, outside | handle.environment)
    finally:
        handle.release()


def run_client(name: str, arguments: Sequence[str], *, on: Target) -> int:
    """Runs the program on this terminal. Returns its exit status, for a signal 128 and more."""
    if name == "pg_restore" and not any(a.startswith(NAMES_A_TARGET) for a in arguments):
        arguments = [f"--dbname={on.environ.get('PGDATABASE', '')}", *arguments]
    # Ctrl-C is for the program. It would inherit SIG_IGN, but not a handler.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = subprocess.run(  # noqa: S603 - our own program, the user's arguments, no shell
            [on.programs.program(name), *arguments], check=False, env=on.environ
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode
