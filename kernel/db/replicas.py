"""Which processes serve one database, as PostgreSQL sees their connections."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

PREFIX = "coderapi@"
# PostgreSQL cuts an application's name after 63 bytes.
MOST_BYTES = 63


_configuration = ""


def name_configuration(digest: str) -> None:
    """Lets the names of this process's connections say which configuration it runs with."""
    global _configuration
    _configuration = digest


def application_name() -> str:
    """What this process's connections are called: `coderapi@host:process#configuration`."""
    process = f":{os.getpid()}"
    if _configuration:
        process += f"#{_configuration}"
    host = socket.gethostname().encode("ascii", "replace")
    return PREFIX + host[: MOST_BYTES - len(PREFIX) - len(process)].decode() + process


@dataclass(frozen=True, slots=True)
class Replica:
    """One process. `listens` says whether it has a connection on which it hears of changes."""

    name: str
    connections: int
    listens: bool
    since: datetime

    @property
    def host(self) -> str:
        return self.name.rpartition(":")[0]

    @property
    def configuration(self) -> str:
        """The short digest of the configuration it runs with, where it says so."""
        return self.name.partition("#")[2]


def replicas() -> list[Replica]:
    """The processes that are connected to our database now, by name.

    Behind PgBouncer in transaction mode the pooled connections are PgBouncer's and their names may
    be another client's; connections to the direct URL, such as each listener's, are always right.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT substr(application_name, %s), count(*),"
            " bool_or(query LIKE 'LISTEN coderapi%%'),"
            " min(backend_start) FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, %s)"
            " GROUP BY application_name ORDER BY application_name",
            [len(PREFIX) + 1, PREFIX],
        )
        return [Replica(*row) for row in cursor.fetchall()]
