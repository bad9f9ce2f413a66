"""PostgreSQL's programs for people: they learn from variables where the database is.

On a command line, others could read the password.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

# The action of `manage.py postgres`, and its program.
CLIENTS = {"psql": "psql", "dump": "pg_dump", "restore": "pg_restore"}
# With one of these, pg_restore needs no database, or is told of one.
RESTORES_NOWHERE = ("-d", "--dbname", "-f", "--file", "-l", "--list", "--help", "-?", "--version")


def variables_of(url: str) -> dict[str, str]:
    """Returns the variables that lead libpq's programs to the URL's database.

    What has no variable only tunes the connection, such as keepalives.
    """
    given = conninfo_to_dict(url)
    return {
        option.envvar.decode(): str(given[option.keyword.decode()])
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.keyword.decode() in given
    }


def run_client(program: Path, arguments: Sequence[str], *, environ: Mapping[str, str]) -> int:
    """Runs the program on this terminal. Returns its exit status, for a signal 128 and more."""
    if program.name == "pg_restore" and not _names_a_target(arguments):
        arguments = [f"--dbname={environ.get('PGDATABASE', '')}", *arguments]
    # Ctrl-C is for the program, which a handler of ours does not reach; ignoring is inherited.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        done = subprocess.run(  # noqa: S603 - our own program, the user's arguments, no shell
            [program, *arguments], check=False, env=environ
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _names_a_target(arguments: Sequence[str]) -> bool:
    return any(argument.startswith(RESTORES_NOWHERE) for argument in arguments)
