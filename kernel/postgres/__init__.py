"""The private PostgreSQL: a cluster under the data directory, shared by the processes that use it.

It needs neither Django nor settings: it is there before both, since the settings need its URL.
"""

from __future__ import annotations

from kernel.postgres.errors import PostgresError
from kernel.postgres.sharing import Handle, Stopped, acquire, address, stop
from kernel.postgres.upgrade import upgrade

__all__ = ["Handle", "PostgresError", "Stopped", "acquire", "address", "stop", "upgrade"]
