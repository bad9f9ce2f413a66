"""The releases of Coder that the stand-in and its database can play, and their differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The kinds of sessions that releases before 2.38 count, each in a column of its own.
SESSION_KINDS = ("vscode", "jetbrains", "reconnecting_pty", "ssh")
_TABLES = """
CREATE TYPE workspace_transition AS ENUM ('start', 'stop', 'delete');
CREATE TABLE workspace_agent_stats (
    id uuid PRIMARY KEY, created_at timestamptz, user_id uuid, agent_id uuid, workspace_id uuid,
    template_id uuid, connections_by_proto jsonb, connection_count bigint, rx_packets bigint,
    rx_bytes bigint, tx_packets bigint, tx_bytes bigint, connection_median_latency_ms float8,
    {sessions}
);
CREATE INDEX ON workspace_agent_stats (created_at);
CREATE TABLE workspaces (
    id uuid PRIMARY KEY, created_at timestamptz, owner_id uuid, deleted boolean, name varchar(64)
);
CREATE TABLE workspace_builds (
    id uuid, workspace_id uuid, build_number integer, transition workspace_transition,
    job_id uuid UNIQUE, UNIQUE (workspace_id, build_number)
);
CREATE TABLE provisioner_jobs (
    id uuid PRIMARY KEY, created_at timestamptz, updated_at timestamptz, started_at timestamptz,
    canceled_at timestamptz, completed_at timestamptz, error text, tags jsonb
);
"""
# A migration adds the new column at the end of the table.
_ONE_BY_KIND = ", ".join(f"session_count_{kind} bigint" for kind in SESSION_KINDS)
_BY_NAME = "session_counts jsonb NOT NULL DEFAULT '{}'"


@dataclass(frozen=True)
class Release:
    """A release of Coder.

    Tokens: `without` are the members that a listed token lacks, and `expire` is the status of the
    route that expires a token. `never_used` is the `last_used` of a token that was never used. If
    `enforces_scopes` is false, `scope` alone limits a token: `scopes` and `allow_list` are ignored.

    Other differences: if `counts_by_name` is true, agent rows count sessions by application, in one
    column. `build_info` are additional members of `GET /buildinfo`.
    """

    version: str
    without: tuple[str, ...] = ()
    lists_expired: bool = False
    expire: int = 204
    never_used: str = "1970-01-01T00:00:00Z"
    enforces_scopes: bool = True
    counts_by_name: bool = False
    build_info: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.version

    @property
    def tables(self) -> str:
        """Returns the SQL statements that create the tables of Coder which coderapi reads."""
        usage = "usage boolean"
        sessions = f"{usage}, {_BY_NAME}" if self.counts_by_name else f"{_ONE_BY_KIND}, {usage}"
        return _TABLES.format(sessions=sessions)


V2_25 = Release(
    "v2.25.0",
    without=("scopes", "allow_list"),
    lists_expired=True,
    expire=405,
    never_used="0001-01-01T00:00:00Z",
    enforces_scopes=False,
)
V2_34 = Release("v2.34.1")
V2_38 = Release("v2.38.0", counts_by_name=True, build_info={"oauth2_provider": True})
# The tests of tests/beside run on each of these.
RELEASES = (V2_25, V2_34, V2_38)
# Only the tests of the token policy run on these. Coder's documents call `scope` deprecated, and do
# not mention `username`, so a later release may omit both.
OTHER_RELEASES = (
    Release("v2.27.0", lists_expired=True, expire=404, never_used=V2_25.never_used),
    Release("v3.0.0", without=("scope", "username"), counts_by_name=True),
)
