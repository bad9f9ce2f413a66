"""PostgreSQL. These options stand outside any group."""

from __future__ import annotations

from options.option import Option
from options.values import Choice, Integer, Text
from options.values.rules import IDLE_CONNECTIONS

DATABASE_OPTIONS = (
    Option(
        name="Postgres Connection URL",
        description=(
            "The address of the PostgreSQL database, with user and password. Without it the server "
            "starts a private database of its own."
        ),
        type=Text(),
        json_path="pg_connection_url",
        env="CODER_PG_CONNECTION_URL",
        flag="postgres-url",
        secret=True,
        obeyed=True,
    ),
    Option(
        name="Postgres Auth",
        description=(
            "How to sign in to PostgreSQL: with the password of the URL, or with an AWS identity "
            "(awsiamrds). This service supports the password alone."
        ),
        type=Choice(("password", "awsiamrds")),
        json_path="pg_auth",
        env="CODER_PG_AUTH",
        flag="postgres-auth",
        yaml="pgAuth",
        default="password",
        obeyed=True,
    ),
    Option(
        name="Postgres Connection Max Open",
        description=(
            "The most connections to the database that the server keeps open at once. The database "
            "must allow as many for each server, and some more."
        ),
        type=Integer(minimum=1),
        json_path="pg_conn_max_open",
        env="CODER_PG_CONN_MAX_OPEN",
        flag="postgres-conn-max-open",
        yaml="pgConnMaxOpen",
        default="10",
        obeyed=True,
    ),
    Option(
        name="Postgres Connection Max Idle",
        description=(
            "How many unused connections stay open for later: a number, or auto for a third of the "
            "maximum."
        ),
        type=Text(IDLE_CONNECTIONS),
        json_path="pg_conn_max_idle",
        env="CODER_PG_CONN_MAX_IDLE",
        flag="postgres-conn-max-idle",
        yaml="pgConnMaxIdle",
        default="auto",
        obeyed=True,
    ),
)
