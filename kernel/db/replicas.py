"""Lists the processes that use the database, from the names of their connections."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

PREFIX = "coderapi@"
# PostgreSQL truncates an application name to 63 bytes.
MAX_BYTES = 63

_configuration = ""


def name_configuration(digest: str) -> None:
    """Adds a short digest of the configuration to the names of this process's connections."""
    global _configuration
    _configuration = digest


def application_name() -> str:
    """Returns the name of this process's connections: `coderapi@host:process#configuration`."""
    process = f":{os.getpid()}"
    if _configuration:
        process += f"#{_configuration}"
    host = socket.gethostname().encode("ascii", "replace")
    return PREFIX + host[: MAX_BYTES - len(PREFIX) - len(process)].decode() + process


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that is connected to the database. `listens`: it receives notifications."""

    name: str
    connections: int
    listens: bool
    since: datetime

    @property
    def host(self) -> str:
        return self.name.rpartition(":")[0]

    @property
    def configuration(self) -> str:
        """The short digest of the process's configuration, or "" if the name has no digest."""
        return self.name.partition("#")[2]


def replicas() -> list[Replica]:
    """Lists the processes that are connected to the database now, ordered by name.

    PgBouncer in transaction mode may show pooled connections under the name of another client.
    Connections to the direct URL, such as each listener's, always have the right name.
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
