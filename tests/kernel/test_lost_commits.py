"""A commit whose answer is lost: it counts once, and 503 says that nothing was written."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from django.utils import timezone

from tests.coderapi.test_page_samples import token_in
from tests.support.clusters import OwnCluster, own_cluster
from tests.support.live import Server
from tests.support.processes import wait_for
from tests.support.standing_between import Between

TOKENS = "/api/v2/users/me/keys/tokens"
STATS = "/api/v2/deployment/stats/reports"


@contextmanager
def breaking(
    open_directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    pass_on: bool = True,
    hangs: bool = False,
    **more: str,
) -> Iterator[tuple[OwnCluster, Between, Server, str]]:
    """A cluster, what stands before it and can break a COMMIT, a server, and its owner's token."""
    log = tmp_path_factory.mktemp("log") / "log"
    sockets = tmp_path_factory.mktemp("pg")
    with (
        own_cluster(open_directory, durable=False) as cluster,
        Between(sockets, cluster.url, word=b"COMMIT", pass_on=pass_on, hangs=hangs) as between,
        Server(
            "--web-only",
            log=log,
            **{
                "DATABASE_URL": between.url,
                "CODERAPI_FIRST_OWNER_USERNAME": "owner",
                **more,
            },
        ) as server,
    ):
        yield cluster, between, server, token_in(log.parent / "first-owner.txt")


@pytest.mark.parametrize("committed", [True, False])
def test_tokens_and_rows_are_there_once(
    open_directory: Path, tmp_path_factory: pytest.TempPathFactory, *, committed: bool
) -> None:
    with breaking(open_directory, tmp_path_factory, pass_on=committed) as broken:
        cluster, between, server, token = broken
        name, row = "kept", str(uuid.uuid4())
        first = [{"kind": "agent", "id": str(uuid.uuid4()), **row_of_now()}]
        assert server.ask(STATS, method="POST", body=first, token=token).status == 200
        asked = [
            (TOKENS, {"token_name": name}, 201),
            (STATS, [{"kind": "agent", "id": row, **row_of_now()}], 200),
        ]
        for path, body, expected in asked:
            assert server.ask("/api/v2/users/me", token=token).status == 200
            between.break_next()
            answer = server.ask(path, method="POST", body=body, token=token)
            assert (answer.status, path) == (expected, path), answer.body
        assert between.broken == 2
        with psycopg.connect(cluster.url) as connection:
            for query, mark in (
                ("SELECT count(*) FROM tokens_apikey WHERE token_name = %s", name),
                ("SELECT count(*) FROM stats_agentstat WHERE id = %s", row),
            ):
                assert connection.execute(query, [mark]).fetchone() == (1,)


def row_of_now() -> dict[str, object]:
    one = str(uuid.UUID(int=1))
    return {
        "created_at": timezone.now().isoformat(),
        **dict.fromkeys(("user_id", "agent_id", "workspace_id", "template_id"), one),
    }


def test_a_lost_commit_that_nobody_settles_is_no_503(
    open_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with breaking(open_directory, tmp_path_factory, pass_on=True) as broken:
        _, between, server, token = broken
        user = {"username": "ann", "email": "ann@example.com", "password": "Long-Enough-4-All!"}
        assert server.ask("/api/v2/users/me", token=token).status == 200
        between.break_next()
        answer = server.ask("/api/v2/users", method="POST", body=user, token=token)
        assert answer.status == 504
        assert int(answer.headers["Retry-After"]) > 0
        assert "may have been written" in answer.json["detail"]


def test_a_commit_under_which_the_database_freezes_is_no_503(
    open_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is there afterwards; rows that come again count once, and a token's name is taken."""
    # After the lost commit there is no other connection.
    with breaking(
        open_directory, tmp_path_factory, hangs=True, CODER_PG_CONN_MAX_IDLE="0"
    ) as broken:
        _, between, server, token = broken
        row = [{"kind": "agent", "id": str(uuid.uuid4()), **row_of_now()}]
        first = [{"kind": "agent", "id": str(uuid.uuid4()), **row_of_now()}]
        assert server.ask(STATS, method="POST", body=first, token=token).status == 200
        for path, body, again in ((STATS, row, 200), (TOKENS, {"token_name": "kept"}, 409)):
            wait_for(lambda: server.ask("/api/v2/users/me", token=token).status == 200)
            between.break_next()
            begun = time.monotonic()
            answer = server.ask(path, method="POST", body=body, token=token)
            took = time.monotonic() - begun
            between.thaw()
            assert (path, answer.status, took < 6) == (path, 504, True), took
            wait_for(lambda: server.ask("/readyz").status == 200)
            answer = server.ask(path, method="POST", body=body, token=token)
            assert (path, answer.status) == (path, again), answer.body
            if path == STATS:
                assert answer.json["duplicate"] == 1
        assert between.broken == 2
        assert "Traceback" not in server.log.read_text()
