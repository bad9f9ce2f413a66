"""PostgreSQL is frozen or locked: who needs it hears so soon, and all others are served."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection

import psycopg
import pytest

from kernel.db.listener import DEAF_AFTER_SECONDS
from tests.coderapi.test_page_samples import token_in
from tests.support.clusters import OwnCluster, own_cluster
from tests.support.live import Server
from tests.support.processes import free_port, wait_for
from tests.support.proxies import is_open

TOKENS = "/api/v2/users/me/keys/tokens"
REPORT = b'{"csp-report": {"blocked-uri": "https://evil.example.com/x.js"}}'
DOCUMENT = "/api/v2/deployment/ssh"


def test_every_answer_comes_within_seconds(
    open_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    with (
        own_cluster(open_directory, durable=False) as cluster,
        Server(
            "--web-only",
            log=log,
            DATABASE_URL=cluster.url,
            CODERAPI_FIRST_OWNER_USERNAME="owner",
            CODERAPI_CSP_ACCESS="public",
            CODER_API_RATE_LIMIT="-1",
        ) as server,
    ):
        token = token_in(log.parent / "first-owner.txt")
        stranger = token[:-1] + ("a" if token[-1] != "a" else "b")

        def asked(path: str, token: str, body: object) -> tuple[int, float]:
            begun = time.monotonic()
            answer = server.ask(
                path, token=token, body=body, method="GET" if body is None else "POST"
            )
            return answer.status, time.monotonic() - begun

        for path in (DOCUMENT, "/readyz"):
            assert server.ask(path, token=token).status == 200
        assert server.ask("/api/v2/csp/reports", body=REPORT, method="POST").status == 200
        wants = [
            ("/healthz", "", None, {200}, 2.0),
            ("/readyz", "", None, {503}, 2.0),
            (DOCUMENT, token, None, {200}, 2.0),
            (DOCUMENT, "0000000001-" + stranger[11:], None, {503}, 3.0),
            (TOKENS, token, {"token_name": "new"}, {503, 504}, 7.0),
            ("/api/v2/csp/reports", "", REPORT, {503, 504}, 7.0),
        ]
        with cluster.frozen(), ThreadPoolExecutor(len(wants)) as pool:
            found = pool.map(asked, *zip(*[want[:3] for want in wants], strict=True))
            for (path, _, _, statuses, seconds), (status, took) in zip(wants, found, strict=True):
                assert (path, status in statuses, took < seconds) == (path, True, True), took
            # After a few heartbeats that were missed, too.
            until = time.monotonic() + 3 * DEAF_AFTER_SECONDS
            while time.monotonic() < until:
                assert asked(DOCUMENT, token, None)[0] == 200
        wait_for(lambda: server.ask("/readyz").status == 200)
        wait_for(lambda: asked(TOKENS, token, {"token_name": "later"})[0] in {201, 409})
        assert "Traceback" not in log.read_text()


# --- A crowd whose keys no process remembers --------------------------------------------------

# Many more than the server has threads: each of them wants a look-up.
CROWD = 150
KEYS = 5_000
MAKE_KEYS = """
INSERT INTO tokens_apikey SELECT made.* FROM
    (SELECT k AS pattern FROM tokens_apikey AS k LIMIT 1) AS found,
    generate_series(1, %s) AS n,
    jsonb_populate_record(pattern::tokens_apikey, jsonb_build_object('id', lpad(n::text, 10, '0')))
        AS made
"""


@contextmanager
def locked(cluster: OwnCluster) -> Iterator[None]:
    with psycopg.connect(cluster.url) as connection:
        connection.execute("LOCK TABLE tokens_apikey")
        yield


@contextmanager
def crowded(port: int, secret: str) -> Iterator[threading.Event]:
    """Many clients ask with ever new keys as long as the block lasts. The event: all have begun."""
    numbers, asked = itertools.count(1), itertools.count(1)
    begun, over = threading.Event(), threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            key = f"{next(numbers) % KEYS + 1:010}-{secret}"
            connection.request("GET", DOCUMENT, headers={"Coder-Session-Token": key})
            if next(asked) == CROWD:
                begun.set()
            connection.getresponse().read()
            connection.close()

    threads = [threading.Thread(target=ask_on) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    try:
        yield begun
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def slow_bodies(port: int, *, count: int) -> Iterator[None]:
    """Bodies that do not come, each from an address of its own, as long as the block lasts."""
    head = b"POST /api/v2/users/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\na"
    with ExitStack() as opened:
        for number in range(count):
            source = (f"127.0.1.{number + 1}", 0)
            client = create_connection(("127.0.0.1", port), timeout=30, source_address=source)
            opened.enter_context(closing(client)).sendall(head)
        yield


def took(port: int, path: str, token: str = "") -> tuple[int, float]:
    begun = time.monotonic()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Coder-Session-Token": token})
    status = connection.getresponse().status
    connection.close()
    return status, time.monotonic() - begun


@pytest.mark.parametrize("broken", [locked, OwnCluster.frozen])
def test_a_crowd_that_waits_and_slow_bodies_keep_nobody_else_waiting(
    open_directory: Path,
    tmp_path_factory: pytest.TempPathFactory,
    broken: Callable[[OwnCluster], AbstractContextManager[None]],
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    metrics = free_port()
    with (
        own_cluster(open_directory, durable=False) as cluster,
        Server(
            "--web-only",
            log=log,
            DATABASE_URL=cluster.url,
            CODERAPI_FIRST_OWNER_USERNAME="owner",
            CODERAPI_WEB_THREADS="16",
            CODER_API_RATE_LIMIT="-1",
            CODER_PROMETHEUS_ENABLE="true",
            CODER_PROMETHEUS_ADDRESS=f"127.0.0.1:{metrics}",
        ) as server,
    ):
        token = token_in(log.parent / "first-owner.txt")
        with psycopg.connect(cluster.url) as connection:
            connection.execute(MAKE_KEYS, [KEYS])
        assert server.ask(DOCUMENT, token=token).status == 200

        wait_for(lambda: is_open(metrics))
        probes = ["/healthz", "/livez", "/readyz", "/metrics"]
        ports = [server.port] * 3 + [metrics]
        with (
            broken(cluster),
            crowded(server.port, token[11:]) as begun,
            slow_bodies(server.port, count=20),
        ):
            assert begun.wait(30)
            for _ in range(5):
                with ThreadPoolExecutor(len(probes)) as pool:
                    found = dict(zip(probes, pool.map(took, ports, probes), strict=True))
                assert max(seconds for _, seconds in found.values()) < 2, found
                assert {found[path][0] for path in ("/healthz", "/livez", "/metrics")} == {200}
                if broken is locked:
                    assert took(server.port, DOCUMENT, token)[0] == 200
        wait_for(lambda: took(server.port, DOCUMENT, f"{1:010}-{token[11:]}")[0] == 200)
        assert "Traceback" not in log.read_text()
