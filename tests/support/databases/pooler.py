"""PgBouncer before a database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.processes import connects, free_port, wait_for

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POOLER = """
[databases]
* = {upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
max_prepared_statements = 100
unix_socket_dir =
logfile = {directory}/pgbouncer.log
pidfile = {directory}/pgbouncer.pid
"""


@contextmanager
def pooler(database: str, directory: Path) -> Iterator[str]:
    """Yields the database's URL through PgBouncer in transaction mode."""
    assert PGBOUNCER
    parts = psycopg.conninfo.conninfo_to_dict(database)
    port = free_port()
    # PgBouncer does not know `requirepeer`.
    known = {key: parts[key] for key in parts.keys() - {"dbname", "requirepeer"}}
    upstream = " ".join(f"{key}={value}" for key, value in known.items())
    directory.chmod(0o777)
    ini = directory / "pgbouncer.ini"
    ini.write_text(POOLER.format(upstream=upstream, port=port, directory=directory))
    # PgBouncer does not run as root.
    other = ["setpriv", "--reuid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    process = subprocess.Popen([*other, PGBOUNCER, str(ini)], stderr=subprocess.DEVNULL)
    try:
        url = f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"
        wait_for(lambda: connects(url))
        yield url
    finally:
        process.terminate()
        process.wait()
