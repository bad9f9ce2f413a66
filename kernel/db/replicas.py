"""The processes that use one database, as PostgreSQL sees their connections."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

PREFIX = "coderapi@"
# PostgreSQL cuts an application's name after 63 bytes.
MAX_BYTES = 63

_configuration = ""


def name_configuration(digest: str) -> None:
    """Adds the configuration's short digest to the names of this process's connections."""
    global _configuration
    _configuration = digest


def application_name() -> str:
    """Names this process's connections: `coderapi@host:process#configuration`."""
    process = f":{os.getpid()}"
    if _configuration:
        process += f"#{_configuration}"
    host = socket.gethostname().encode("ascii", "replace")
    return PREFIX + host[: MAX_BYTES - len(PREFIX) - len(process)].decode() + process


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
        """Its configuration's short digest, or "" if its name has none."""
        return self.name.partition("#")[2]


def replicas() -> list[Replica]:
    """Lists the processes that are connected to our database now, by name.

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
