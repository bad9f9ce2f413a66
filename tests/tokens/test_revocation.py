"""Two servers on one database: a key that is revoked on one is rejected by both."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.databases.pooler import PGBOUNCER, pooler
from tests.support.processes import BEFORE_EVICTION_SECONDS, own_database, wait_for
from tests.support.servers.live import Server
from tokens.token_format import digest, generate

SSH = "/api/v2/deployment/ssh"
CONFIG = "/api/v2/deployment/config"
# On a busy machine, the cache may be disabled for a moment.
TRIES = 10
PASSWORD = "correct-horse-battery-staple"


class Pair:
    """Two servers, and the database behind them."""

    def __init__(self, servers: list[Server], database: str) -> None:
        self.servers = servers
        self.database = database

    def statuses(self, token: str, path: str = SSH) -> list[int]:
        return [server.ask(path, token=token).status for server in self.servers]

    def answer(self, token: str, status: int, path: str = SSH) -> Callable[[], bool]:
        return lambda: self.statuses(token, path) == [status, status]

    def execute(self, statement: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def delete_silently(self, token: str) -> None:
        """Deletes the key with triggers disabled, so that no server is notified."""
        with psycopg.connect(self.database) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("DELETE FROM tokens_apikey WHERE id = %s", [token[:10]])

    def listeners(self) -> list[int]:
        """Returns the PostgreSQL processes of the listening connections."""
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND starts_with(query, 'LISTEN ')"
        )
        return [pid for (pid,) in rows]


@contextmanager
def two_servers(database: str, directory: Path, **more: str) -> Iterator[list[Server]]:
    settings = {
        "DATABASE_URL": database,
        "CODER_API_RATE_LIMIT": "-1",
        "CODERAPI_FIRST_OWNER_USERNAME": "owner",
        "CODERAPI_FIRST_OWNER_PASSWORD": PASSWORD,
        **more,
    }
    with ExitStack() as running:
        servers = []
        for name in ("one", "two"):
            # The first server migrates the database.
            server = Server("--web-only", log=directory / f"{name}.log", **settings)
            servers.append(running.enter_context(server))
        yield servers


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="coderapi-pair-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def pair(directory: Path) -> Iterator[Pair]:
    with own_database() as database, two_servers(database, directory) as servers:
        yield Pair(servers, database)


MINT = """
INSERT INTO tokens_apikey (id, hashed_secret, user_id, token_name, login_type, is_minted, scopes,
    allow_list, lifetime_ns, expires_at, created_at, updated_at)
SELECT %s, %s, id, %s, 'token', true, '{coder:all}', '[{"type": "*", "id": "*"}]', 1,
    now() + interval '1 day', now(), now() FROM users_user WHERE username = 'owner'
"""


def token_of(pair: Pair) -> str:
    """Returns a new token of the owner. The command for tokens takes a second to start."""
    new = generate()
    pair.execute(MINT, new.key_id, digest(new.secret), new.key_id)
    return new.token


def cached(pair: Pair, token: str, path: str = SSH) -> str:
    """Returns the token after both servers have cached it."""
    wait_for(pair.answer(token, 200, path))
    wait_for(pair.answer(token, 200, path))
    return token


def owner_again(pair: Pair) -> None:
    pair.execute("UPDATE users_user SET status = 'active', roles = '{owner}'")
    wait_for(lambda: pair.listeners() and len(pair.listeners()) == 2)


def test_cached_key_needs_no_query(pair: Pair) -> None:
    def statuses() -> list[int]:
        owner_again(pair)
        token = cached(pair, token_of(pair))
        pair.delete_silently(token)
        return pair.statuses(token)

    assert any(statuses() == [200, 200] for _ in range(TRIES))


SET_KEY = "UPDATE tokens_apikey SET {} WHERE id = %s"
SET_USER = "UPDATE users_user u SET {} FROM tokens_apikey k WHERE u.id = k.user_id AND k.id = %s"
CHANGES = {
    "deleted": ("DELETE FROM tokens_apikey WHERE id = %s", SSH, 401),
    "expired": (SET_KEY.format("expires_at = now() - interval '1 s'"), SSH, 401),
    "narrowed": (SET_KEY.format("scopes = '{coder:application_connect}'"), CONFIG, 403),
    "secret changed": (SET_KEY.format("hashed_secret = sha256('other')"), SSH, 401),
    "user suspended": (SET_USER.format("status = 'suspended'"), SSH, 401),
    "role taken": (SET_USER.format("roles = '{}'"), CONFIG, 403),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_reaches_both_servers(pair: Pair, change: str) -> None:
    """Without a notification, a cached key would be valid for longer than this test waits."""
    statement, path, status = CHANGES[change]
    owner_again(pair)
    token = cached(pair, token_of(pair), path)

    pair.execute(statement, token[:10])

    wait_for(pair.answer(token, status, path), seconds=BEFORE_EVICTION_SECONDS)


def test_new_password_revokes_other_keys_on_both_servers(pair: Pair) -> None:
    owner_again(pair)
    token, other = (cached(pair, token_of(pair)) for _ in range(2))
    body = json.dumps({"old_password": PASSWORD, "password": f"{PASSWORD}-2"}).encode()

    answer = pair.servers[0].ask("/api/v2/users/me/password", token=token, method="PUT", body=body)

    assert answer.status == 204, answer
    wait_for(pair.answer(other, 401), seconds=BEFORE_EVICTION_SECONDS)
    assert pair.statuses(token) == [200, 200]


def test_missed_change_takes_effect_after_a_lost_connection(pair: Pair) -> None:
    owner_again(pair)
    token = cached(pair, token_of(pair))

    pair.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", pair.listeners())
    pair.delete_silently(token)

    wait_for(pair.answer(token, 401), seconds=BEFORE_EVICTION_SECONDS)


def test_cache_is_disabled_while_the_listening_connection_is_half_open(pair: Pair) -> None:
    owner_again(pair)
    token = cached(pair, token_of(pair))
    stopped = pair.listeners()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        pair.delete_silently(token)
        # Only the silence shows that no notification arrives.
        wait_for(pair.answer(token, 401), seconds=BEFORE_EVICTION_SECONDS)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif(
    not PGBOUNCER and "CI_REQUIRES_PGBOUNCER" not in os.environ, reason="pgbouncer is not installed"
)
def test_cache_is_disabled_behind_a_pooler_without_notifications(tmp_path: Path) -> None:
    with (
        own_database() as database,
        tempfile.TemporaryDirectory(prefix="coderapi-pool-") as directory,
        pooler(database, Path(directory)) as pooled,
        two_servers(pooled, tmp_path, CODERAPI_DIRECT_DATABASE_URL=pooled) as servers,
    ):
        pair = Pair(servers, database)
        token = cached(pair, token_of(pair))

        pair.delete_silently(token)

        assert pair.statuses(token) == [401, 401]
