from __future__ import annotations

from coderapi.database.capacity import free_connections
from kernel.telemetry.metrics import database_gauge

database_gauge(
    "coderapi_database_free_connections",
    "Connections that PostgreSQL can still accept from the service.",
    lambda now: {(): free_connections()},
)
