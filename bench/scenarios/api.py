"""Requests that query the database: users, lists, and creating tokens."""

from __future__ import annotations

from bench import requests, rows
from bench.harness import Scenario
from bench.scenarios.base import Batches, Bench, load, transactions
from bench.service import reference

# (name, path, key)
READS = (
    ("/users/me", "/api/v2/users/me", rows.LISTED_TOKEN),
    ("list of 20 tokens", "/api/v2/users/me/keys/tokens", rows.LISTED_TOKEN),
    ("/users?limit=5", "/api/v2/users?limit=5", rows.OWNER_TOKEN),
)
MINTING_CONNECTIONS = 16


def lists(bench: Bench) -> Batches:
    """Measures reads beside plain Django with as many threads and database connections."""
    service = bench.service
    with reference("plain_django", DATABASE_URL=service.database_url) as url:
        yield [
            Scenario(
                name,
                load(name, service.url + path, requests.with_token(key)),
                load("plain Django", url + path, requests.with_token(key)),
                at_least=2.5,
            )
            for name, path, key in READS
        ]


def minting(bench: Bench) -> Batches:
    """Measures creating tokens beside pgbench, which inserts the same rows."""
    service = bench.service
    path = "/api/v2/users/me/keys/tokens"
    ours = load(
        "minting", service.url + path, requests.mint(service.token), connections=MINTING_CONNECTIONS
    )
    service.post(path, "{}")  # Its rows are the pattern for pgbench.
    with service.connect() as connection:
        key, audit = (rows.copy_of(connection, each) for each in ("tokens_apikey", "audit_entry"))
        name = "substr(md5(random()::text), 1, 10)"
        script = "".join(
            (
                "BEGIN;\n",
                rows.insert_of(
                    connection,
                    "tokens_apikey",
                    key,
                    newest="created_at",
                    id=name,
                    token_name=name,
                ),
                rows.insert_of(connection, "audit_entry", audit, newest="created_at"),
                "COMMIT;\n",
            )
        )
    theirs = transactions("pgbench", service, script, clients=MINTING_CONNECTIONS)
    yield [Scenario("minting a token (16 connections)", ours, theirs, at_least=0.2)]
