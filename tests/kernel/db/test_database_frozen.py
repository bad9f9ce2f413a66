"""PostgreSQL is stopped, frozen or locked: requests that need it end soon, others are served."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coderapi import postgres
from kernel.db.connections import LimitedConnection
from kernel.db.listener import DEAF_AFTER_SECONDS
from tests.support.coder.stand_in import Key, Person, StandInCoder
from tests.support.concurrency import Senders
from tests.support.databases.clusters import OwnCluster, own_cluster
from tests.support.databases.tables import query
from tests.support.processes import free_port, wait_for
from tests.support.servers.live import Server, send
from tests.support.servers.proxies import is_open
from tests.support.servers.serving import stalled

TOKENS = "/api/v2/users/me/keys/tokens"
ME = "/api/v2/users/me"
REPORTS = "/api/v2/csp/reports"
REPORT = b'{"csp-report": {"blocked-uri": "https://evil.example.com/x.js"}}'
DOCUMENT = "/api/v2/deployment/ssh"
TRIES = 5


@pytest.fixture
def cluster(open_directory: Path, migrated_cluster: Path) -> Iterator[OwnCluster]:
    with own_cluster(open_directory, like=migrated_cluster, durable=False) as cluster:
        yield cluster


def serving(cluster: OwnCluster, directory: Path, *flags: str, **settings: str) -> Server:
    settings["CODERAPI_FIRST_OWNER_USERNAME"] = "owner"
    settings.setdefault("CODER_API_RATE_LIMIT", "-1")
    return Server(*flags, log=directory / "log", DATABASE_URL=cluster.url, **settings)


def test_stopped_database_is_503_until_it_is_back(cluster: OwnCluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as server:
        token = server.owner_token
        for path in (ME, "/api/v2/buildinfo"):
            assert server.ask(path, token=token).status == 200
        postgres.stop(cluster.directory)
        for path, method, body in ((ME, "GET", None), (REPORTS, "POST", REPORT)):
            refused = server.ask(path, token=token, method=method, body=body)
            assert refused.status == 503, refused
            assert int(refused.headers["retry-after"]) > 0
            assert set(refused.json) <= {"message", "detail"}
        for path in ("/healthz", "/readyz", "/api/v2/buildinfo"):
            assert server.ask(path).status == 200
        wait_for(lambda: server.ask("/readyz").json["database"] == "unreachable")
        assert server.get("/readyz") == 200
        with own_cluster(cluster.directory, durable=False):
            wait_for(lambda: server.ask(ME, token=token).status == 200)
            wait_for(lambda: server.ask("/readyz").status == 200)
            posted = server.ask(REPORTS, token=token, method="POST", body=REPORT)
            assert (posted.status, posted.body) == (200, b'"ok"')
        assert "Traceback" not in server.log.read_text()


def test_stopped_database_beside_coder_is_503_until_it_is_back(
    cluster: OwnCluster, tmp_path: Path
) -> None:
    """The look-up of a token raises in a thread, and its error is answered in the event loop."""
    with StandInCoder() as coder:
        people = [coder.add(Key(Person(f"ada-{number}"))).token for number in range(16)]
        names = {"CODERAPI_USER_SOURCE": "coder", "CODERAPI_CODER_URL": coder.url}
        with serving(cluster, tmp_path, "--web-only", **names) as server:
            assert server.ask(DOCUMENT, token=people.pop()).status == 200
            found = []
            for _ in range(3):
                postgres.stop(cluster.directory)
                found += [server.ask(DOCUMENT, token=people.pop()) for _ in range(2)]
                with own_cluster(cluster.directory, durable=False):
                    found += [server.ask(DOCUMENT, token=people.pop()) for _ in range(2)]
                    wait_for(lambda: server.ask(DOCUMENT, token=people[0]).status == 200)
            # A caller whose earlier look-up still waits gets a 429.
            assert 503 in {answer.status for answer in found}
            assert {answer.status for answer in found} <= {200, 429, 503}
            refused = [answer for answer in found if answer.status != 200]
            assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
            assert "Traceback" not in server.log.read_text()


def has_second_heartbeat(cluster: OwnCluster) -> bool:
    """Returns whether a listener has sent its second heartbeat, so the first one has arrived."""
    sent = "query LIKE 'NOTIFY coderapi%' AND query_start > backend_start + interval '0.4 s'"
    return bool(query(cluster.url, f"SELECT FROM pg_stat_activity WHERE {sent}"))


def test_frozen_database_delays_only_requests_that_need_it(
    cluster: OwnCluster, tmp_path: Path
) -> None:
    with serving(cluster, tmp_path, "--web-only", CODERAPI_CSP_ALLOWED_SENDERS="public") as server:
        token = server.owner_token
        unknown = f"0000000001-{token[11:]}"

        def ask(path: str, token: str = "", body: object = None) -> tuple[str, int]:
            method = "GET" if body is None else "POST"
            return path, server.ask(path, token=token, body=body, method=method).status

        # The first heartbeat of the listener clears the caches.
        wait_for(lambda: has_second_heartbeat(cluster))
        for path in (DOCUMENT, "/readyz"):
            assert ask(path, token)[1] == 200
        assert ask(REPORTS, body=REPORT)[1] == 200

        def others_are_served() -> bool:
            with cluster.frozen(), ThreadPoolExecutor(5) as pool:
                writes = [(TOKENS, token, {"token_name": "new"}), (REPORTS, "", REPORT)]
                waiting = [pool.submit(ask, *write) for write in writes]
                others = [
                    pool.submit(ask, *other)
                    for other in (("/healthz",), ("/readyz",), (DOCUMENT, token))
                ]
                # The order of the answers shows which requests waited.
                done = [future.result() for future in as_completed([*waiting, *others])]
                assert {future.result()[1] for future in waiting} <= {503, 504}
                assert ask(DOCUMENT, unknown)[1] == 503
                # The listener misses a few heartbeats.
                until, later = time.monotonic() + 3 * DEAF_AFTER_SECONDS, set()
                while time.monotonic() < until:
                    later.add(ask(DOCUMENT, token)[1])
            wait_for(lambda: ask("/readyz")[1] == 200)
            served = [(DOCUMENT, 200), ("/healthz", 200), ("/readyz", 200)]
            return sorted(done[:3]) == served and later == {200}

        # On a busy machine, an answer may be late, or the last heartbeat before the freeze.
        assert any(others_are_served() for _ in range(TRIES))
        wait_for(lambda: ask(TOKENS, token, {"token_name": "later"})[1] in {201, 409})
        assert "Traceback" not in server.log.read_text()


def test_health_checks_do_not_wait_for_threads(cluster: OwnCluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--web-only", CODERAPI_WEB_THREADS="4") as server:
        token, new = server.owner_token, {"method": "POST", "body": {"token_name": "new"}}
        more: Any = {"token": token, **new}

        def are_served_first() -> bool:
            wait_for(lambda: server.ask(ME, token=token).status == 200)
            with cluster.frozen(), ThreadPoolExecutor(8) as pool:
                waiting = [pool.submit(server.ask, TOKENS, **more) for _ in range(8)]
                probes = [server.get(path) for path in ("/readyz", "/healthz", "/livez")]
                return probes == [200] * 3 and not any(future.done() for future in waiting)

        # On a busy machine, the requests that wait may be late.
        assert any(are_served_first() for _ in range(TRIES))


# --- A crowd with keys that are not cached ----------------------------------------------------

# Many more than the server has threads. Each client needs a lookup.
CROWD = 150
# The addresses of clients whose bodies never arrive.
SLOW = [f"127.0.1.{number}" for number in range(1, 21)]
KEYS = 5_000
MAKE_KEYS = """
INSERT INTO tokens_apikey SELECT made.* FROM
    (SELECT k AS pattern FROM tokens_apikey AS k LIMIT 1) AS found,
    generate_series(1, %s) AS n,
    jsonb_populate_record(pattern::tokens_apikey, jsonb_build_object('id', lpad(n::text, 10, '0')))
        AS made
"""
# The longest time for a request that needs no database, if the machine is not busy.
MAX_SECONDS = 2.0
LOGIN, SIGN_INS = "/api/v2/users/login", 60
# One sign-in waits for its statement, and the others for a second.
MAX_SIGN_IN_SECONDS = 5.0


@contextmanager
def locked(cluster: OwnCluster) -> Iterator[None]:
    with psycopg.connect(cluster.url) as connection:
        connection.execute("LOCK TABLE tokens_apikey")
        yield


def get(port: int, path: str, token: str = "", body: bytes | None = None) -> tuple[int, float]:
    """Returns the status of the answer and the seconds until it came. A body is posted."""
    begun, method = time.monotonic(), "GET" if body is None else "POST"
    answer = send(port, path, method=method, body=body, headers={"Coder-Session-Token": token})
    return answer.status, time.monotonic() - begun


@contextmanager
def crowd(port: int, secret: str) -> Iterator[None]:
    """Sends requests of many clients until the block ends, each request with another key."""
    numbers = itertools.count(1)

    def ask(_: int) -> None:
        get(port, DOCUMENT, f"{next(numbers) % KEYS + 1:010}-{secret}")

    # A client that fails fails the test, because a crowd that has ended tests nothing.
    with Senders(CROWD, ask):
        # Each request takes a number, so the numbers show when most clients have begun.
        wait_for(lambda: next(numbers) > CROWD)
        yield


@pytest.mark.parametrize("broken", [locked, OwnCluster.frozen])
def test_waiting_crowd_and_slow_bodies_do_not_delay_other_requests(
    cluster: OwnCluster,
    tmp_path: Path,
    broken: Callable[[OwnCluster], AbstractContextManager[None]],
) -> None:
    settings = {
        "CODERAPI_WEB_THREADS": "16",
        "CODER_PROMETHEUS_ENABLE": "true",
        "CODER_PROMETHEUS_ADDRESS": f"127.0.0.1:{(metrics := free_port())}",
    }
    with serving(cluster, tmp_path, "--web-only", **settings) as server:
        token = server.owner_token
        query(cluster.url, MAKE_KEYS, KEYS)
        assert server.ask(DOCUMENT, token=token).status == 200
        wait_for(lambda: is_open(metrics))
        probes = ["/healthz", "/livez", "/readyz", "/metrics"]
        ports = [server.port] * 3 + [metrics]

        def probe() -> float:
            """Returns the seconds of the slowest probe. All of them must be answered."""
            with ThreadPoolExecutor(len(probes)) as pool:
                answers = list(pool.map(get, ports, probes))
            health, live, _, scraped = (status for status, _ in answers)
            assert (health, live, scraped) == (200, 200, 200)
            return max(seconds for _, seconds in answers)

        # A healthy service with the same crowd shows how busy the machine is.
        with crowd(server.port, token[11:]):
            usual = max(probe() for _ in range(3))
        with broken(cluster), crowd(server.port, token[11:]), stalled(server.port, addresses=SLOW):
            # The machine may become busier now and then. Waiting threads would delay every probe.
            wait_for(lambda: probe() < MAX_SECONDS + usual)
            # On a busy machine, a heartbeat may be late, and the cache is disabled until the next.
            wait_for(lambda: broken is not locked or get(server.port, DOCUMENT, token)[0] == 200)
        wait_for(lambda: get(server.port, DOCUMENT, f"{1:010}-{token[11:]}")[0] == 200)
        assert "Traceback" not in server.log.read_text()


def test_sign_ins_do_not_wait_for_each_other_while_the_database_is_frozen(
    cluster: OwnCluster, tmp_path: Path
) -> None:
    body = b'{"email": "a@example.com", "password": "wrong-password"}'
    with serving(cluster, tmp_path, "--web-only") as server, ThreadPoolExecutor(SIGN_INS) as pool:

        def sign_ins() -> tuple[set[int], float]:
            """Returns the statuses of many at once, and the seconds until the last answer."""
            ports = [server.port] * SIGN_INS
            found = [*pool.map(lambda port: get(port, LOGIN, body=body), ports)]
            return {status for status, _ in found}, max(seconds for _, seconds in found)

        # A healthy service shows how busy the machine is.
        _, usual = sign_ins()

        def are_soon_refused() -> bool:
            with cluster.frozen():
                statuses, seconds = sign_ins()
            assert statuses == {503}
            return seconds < MAX_SIGN_IN_SECONDS + usual

        wait_for(are_soon_refused)
        wait_for(lambda: get(server.port, LOGIN, body=body)[0] == 401)


def test_thread_gives_up_the_connection_to_a_frozen_server(cluster: OwnCluster) -> None:
    class Impatient(LimitedConnection):
        seconds = 0.2

    with Impatient.connect(cluster.url) as connection:
        connection.execute("SELECT 1")
        with cluster.frozen(), pytest.raises(psycopg.OperationalError, match="respond in time"):
            connection.execute("SELECT 1")
        assert connection.closed
