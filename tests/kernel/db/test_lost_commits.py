"""A commit whose answer is lost counts once. 503 means that nothing was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from tests.support.databases.clusters import OwnCluster, own_cluster
from tests.support.databases.database_relay import Between
from tests.support.databases.tables import query
from tests.support.processes import wait_for
from tests.support.servers.live import Answer, Server
from tests.support.stats_rows import agent_row

TOKENS = "/api/v2/users/me/keys/tokens"
STATS = "/api/coderapi/v1/stats/agent-rows"


@dataclass(frozen=True)
class Breaking:
    """A server, and a relay that can break the connection at the next commit."""

    cluster: OwnCluster
    relay: Between
    server: Server

    def ask(self, path: str, body: object = None) -> Answer:
        method = "GET" if body is None else "POST"
        return self.server.ask(path, method=method, body=body, token=self.server.owner_token)

    def ask_broken(
        self, path: str, body: object, first: Callable[[], object] = lambda: None
    ) -> Answer:
        """Returns the answer to a request whose commit is lost. Calls `first` before the commit."""
        wait_for(lambda: self.ask("/api/v2/users/me").status == 200)
        broken = self.relay.broken
        self.relay.break_next(first)
        answer = self.ask(path, body)
        assert self.relay.broken == broken + 1
        return answer


@pytest.fixture
def breaking(
    open_directory: Path, migrated_cluster: Path, tmp_path: Path
) -> Callable[..., AbstractContextManager[Breaking]]:
    @contextmanager
    def breaking(
        *, pass_on: bool = True, hangs: bool = False, **settings: str
    ) -> Iterator[Breaking]:
        settings["CODERAPI_FIRST_OWNER_USERNAME"] = "owner"
        how: Any = {"pattern": b"COMMIT|api_key.create", "pass_on": pass_on, "hangs": hangs}
        log = tmp_path / "log"
        with (
            own_cluster(open_directory, like=migrated_cluster, durable=False) as cluster,
            # The path of a socket must be short.
            TemporaryDirectory() as sockets,
            Between(Path(sockets), cluster.url, **how) as relay,
            Server("--web-only", log=log, DATABASE_URL=relay.url, **settings) as server,
        ):
            yield Breaking(cluster, relay, server)

    return breaking


def new_row() -> dict[str, Any]:
    return agent_row(timezone.now(), kind="agent")


@pytest.mark.parametrize("committed", [True, False])
def test_tokens_and_rows_are_written_once(breaking: Any, *, committed: bool) -> None:
    with breaking(pass_on=committed) as broken:
        # The first row creates its partition in a separate commit.
        assert broken.ask_broken(STATS, [new_row()]).status == 200
        row = new_row()
        for path, body, status, rows, mark in (
            (TOKENS, {"token_name": "kept"}, 201, "tokens_apikey WHERE token_name = %s", "kept"),
            (STATS, [row], 200, "stats_agentstat WHERE id = %s", row["id"]),
        ):
            answer = broken.ask_broken(path, body)
            assert (path, answer.status) == (path, status), answer.body
            counted = query(broken.cluster.url, f"SELECT count(*) FROM {rows}", mark)  # noqa: S608
            assert counted == [(1,)]


def test_mint_that_still_waits_for_the_policies_is_found(breaking: Any) -> None:
    waiting = "SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with (
        breaking() as broken,
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(broken.cluster.url, autocommit=True) as observer,
    ):
        with psycopg.connect(broken.cluster.url) as other:
            lock = partial(other.execute, "SELECT FROM tokens_policyversion FOR UPDATE")
            answer = threads.submit(broken.ask_broken, TOKENS, {}, first=lock)
            # The attempt whose connection broke waits, and so does the search for its key.
            wait_for(lambda: observer.execute(waiting).fetchone() == (True,))
        assert answer.result().status == 201, answer.result().body


def test_lost_commit_without_a_way_to_check_it_is_504(breaking: Any) -> None:
    user = {"username": "ann", "email": "ann@example.com", "password": "Long-Enough-4-All!"}
    with breaking() as broken:
        answer = broken.ask_broken("/api/v2/users", user)
        assert answer.status == 504
        assert int(answer.headers["Retry-After"]) > 0
        assert "may have been written" in answer.json["detail"]


def test_commit_during_which_the_database_freezes_is_504_and_written(breaking: Any) -> None:
    # The pool then has no other connection after the lost commit.
    with breaking(hangs=True, CODER_PG_CONN_MAX_IDLE="0") as broken:
        assert broken.ask(STATS, [new_row()]).status == 200
        for path, body, again in ((STATS, [new_row()], 200), (TOKENS, {"token_name": "kept"}, 409)):
            # The request ends, although the relay passes no data until `thaw`.
            assert (path, broken.ask_broken(path, body).status) == (path, 504)
            broken.relay.thaw()
            wait_for(lambda: broken.server.ask("/readyz").status == 200)
            answer = broken.ask(path, body)
            assert (path, answer.status) == (path, again), answer.body
            assert path == TOKENS or answer.json["duplicates"] == 1
        assert "Traceback" not in broken.server.log.read_text()
