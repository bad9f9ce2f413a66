"""Django's DATABASES from one URL: the pool, the time-outs, and what PgBouncer refuses left out."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from kernel.db.replicas import application_name

# A request waits this long for a connection before it is answered 503.
POOL_TIMEOUT_SECONDS = 2
CONNECT_TIMEOUT_SECONDS = 2
LEAST_POOL_SIZE = 2


def databases(
    url: str, *, pool_size: int, idle: str, workers: int, pooled: bool = False
) -> dict[str, dict[str, Any]]:
    """Django's DATABASES for the URL: one pool a process, its share of `pool_size` connections.

    Of these, its share of `idle` stays open when nobody uses it; `auto` is a third of all. `pooled`
    says that PgBouncer or its like stands between.
    """
    if not url:
        return {"default": {"ENGINE": "django.db.backends.dummy"}}
    share = max(LEAST_POOL_SIZE, pool_size // workers)
    kept = pool_size // 3 if idle == "auto" else int(idle)
    parts = parsed(url)
    return {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            **{key: parts.pop(name, "") for key, name in _DJANGO_NAMES.items()},
            "CONN_MAX_AGE": 0,
            # A cursor on the server would be another client's after the next transaction.
            "DISABLE_SERVER_SIDE_CURSORS": pooled,
            "OPTIONS": {
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "application_name": application_name(),
                **parts,
                "pool": {
                    "min_size": min(share, kept // workers),
                    "max_size": share,
                    "timeout": POOL_TIMEOUT_SECONDS,
                    "max_idle": 60,
                    "reconnect_timeout": 5,
                },
            },
        }
    }


_DJANGO_NAMES = {
    "NAME": "dbname",
    "USER": "user",
    "PASSWORD": "password",
    "HOST": "host",
    "PORT": "port",
}


def parsed(url: str) -> dict[str, Any]:
    """The URL's members by libpq's names, as libpq itself reads them.

    Raises: ImproperlyConfigured, without repeating the URL: it may hold a password.
    """
    try:
        return dict(conninfo_to_dict(url))
    except ProgrammingError:
        raise ImproperlyConfigured(
            "The database URL is not one that PostgreSQL understands; its form is "
            "postgresql://user:password@host:5432/database."
        ) from None
