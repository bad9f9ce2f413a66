"""Lists the processes that use the database, from the names of their connections."""

from __future__ import annotations

import hmac
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kernel.db.sql import fetch_rows

PREFIX = "coderapi@"
# PostgreSQL truncates an application name to 63 bytes.
MAX_BYTES = 63

# The length of the digests of the secret key and of the shared settings.
SHORT = 6
OTHER_KEYS = (
    "Processes have different values of CODERAPI_SECRET_KEY. Set the same value everywhere."
)
OTHER_SETTINGS = (
    "Processes have different values of settings such as CODERAPI_WIRE_FORMAT. Set the same values "
    "everywhere."
)

_configuration = ""


def name_configuration(digest: str, *, secret_key: str, shared: str) -> None:
    """Adds digests of the configuration to the names of this process's connections.

    `shared` is a text of the settings that must be the same in all processes.
    """
    global _configuration
    _configuration = f"{digest}.{_short(secret_key, 'key')}.{_short(secret_key, shared)}"


def _short(secret_key: str, text: str) -> str:
    """Returns a short digest of the text. Only processes with the same key can compare it."""
    found = hmac.new(secret_key.encode(), b"coderapi replicas: " + text.encode(), "sha256")
    return found.hexdigest()[:SHORT]


def application_name() -> str:
    """Returns the name of this process's connections.

    It is `coderapi@host:process#configuration.key.shared` with a digest of each.
    """
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
        return self.name.partition("#")[2].partition(".")[0]

    @property
    def key_and_shared(self) -> tuple[str, str]:
        """The digests of the secret key and of the shared settings, or "" for each."""
        key, _, shared = self.name.partition("#")[2].partition(".")[2].partition(".")
        return key, shared


def misfit(running: Iterable[Replica]) -> str:
    """Returns a warning if servers differ in what must be the same, or "".

    Workers and commands are ignored: only web processes listen, and an operator may run a command
    with other settings on purpose.
    """
    found = {each.key_and_shared for each in running if each.listens and all(each.key_and_shared)}
    if len({key for key, _ in found}) > 1:
        return OTHER_KEYS
    return OTHER_SETTINGS if len(found) > 1 else ""


def replicas() -> list[Replica]:
    """Lists the processes that are connected to the database now, ordered by name.

    PgBouncer in transaction mode may show pooled connections under the name of another client.
    Connections to the direct URL, such as each listener's, always have the right name.
    """
    rows = fetch_rows(
        "SELECT substr(application_name, %s), count(*), bool_or(query LIKE 'LISTEN coderapi%%'),"
        " min(backend_start) FROM pg_stat_activity"
        " WHERE datname = current_database() AND starts_with(application_name, %s)"
        " GROUP BY application_name ORDER BY application_name",
        [len(PREFIX) + 1, PREFIX],
    )
    return [Replica(*row) for row in rows]
