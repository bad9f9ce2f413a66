from __future__ import annotations


class PostgresError(Exception):
    """The private PostgreSQL cannot do it; the message says what, where, and what to do."""
