"""Restarts of two servers, one after the other, behind the proxies of the documents."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.concurrency import Senders
from tests.support.documents import listing
from tests.support.processes import DEADLINE_SECONDS, free_port, own_database, wait_for
from tests.support.servers import proxies
from tests.support.servers.live import Answer, Server, send
from tests.support.servers.local_server import answering
from tests.support.servers.proxies import Proxy, caddy, needs_caddy, needs_haproxy, needs_nginx

CLIENTS = 4
# Enough requests that each server gets some before its restart, while it is away, and afterwards.
REQUESTS = 100


def example(language: str, *ports: int, port: int) -> str:
    """Returns the configuration in the guide with these ports, without TLS."""
    text = listing(language, r"# (?:nginx|HAProxy|Caddy)[^\n]*")
    text = re.sub(r"\n +ssl_certificate.*", "", text)
    text = re.sub(r"(listen |bind :)443 ssl( crt \S+)?", rf"\g<1>127.0.0.1:{port}", text)
    text = text.replace("bind :", "bind ")
    host = f"http://127.0.0.1:{port}" if language == "caddyfile" else "localhost"
    text = text.replace("coder.example.com", host)
    for number, each in enumerate(ports, start=11):
        text = text.replace(f"10.0.0.{number}:3000", f"127.0.0.1:{each}")
    return text


class Pair:
    """Two servers with one database."""

    def __init__(self, folder: Path, database: str, **settings: str) -> None:
        self._folder, self._settings = folder, {"DATABASE_URL": database, **settings}
        self.ports = (free_port(), free_port())
        self._names = count()
        self._servers = [self._start(port) for port in self.ports]

    def _start(self, port: int) -> Server:
        log = self._folder / f"{next(self._names)}.log"
        server = Server("--web-only", log=log, address=f"127.0.0.1:{port}", **self._settings)
        return server.__enter__()

    def restart_one_by_one(self, seen: Counter[int], is_back: Callable[[int], object]) -> None:
        for index, port in enumerate(self.ports):
            before = seen.total()
            assert self._servers[index].end() == 0
            wait_for(lambda: seen.total() > before + REQUESTS)  # noqa: B023 - used at once
            self._servers[index] = self._start(port)
            wait_for(lambda: is_back(port))  # noqa: B023 - used at once
            before = seen.total()
            wait_for(lambda: seen.total() > before + REQUESTS)  # noqa: B023 - used at once

    def end(self) -> None:
        for server in self._servers:
            server.kill_all()


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """The parameter has settings of the servers, which run again after each test."""
    with own_database() as database:
        settings = getattr(request, "param", {})
        found = Pair(tmp_path_factory.mktemp("servers"), database, **settings)
        yield found
        found.end()


def status_of(connection: HTTPConnection, method: str, path: str, body: str | None = None) -> int:
    """Sends the request. Returns the status, or 0 for a broken connection."""
    with suppress(OSError, HTTPException):
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    return 0


@contextmanager
def clients(port: int) -> Iterator[Counter[int]]:
    """Sends requests until the block ends. Counts their statuses."""
    seen = Counter[int]()

    def send(_: int) -> None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)) as connection:
            seen[status_of(connection, "GET", "/api/v2/buildinfo")] += 1
            seen[status_of(connection, "POST", "/api/v2/users/login", "{}")] += 1

    with Senders(CLIENTS, send):
        yield seen


def check(pair: Pair, port: int, is_back: Callable[[int], object] = lambda port: True) -> None:
    """Restarts both servers. `is_back` returns whether the proxy uses the server again."""
    with clients(port) as seen:
        wait_for(lambda: seen.total() > REQUESTS)
        pair.restart_one_by_one(seen, is_back)
    assert set(seen) <= {200, 400, 429}, seen


@needs_nginx
def test_no_request_fails_behind_the_proxy_of_the_composition(pair: Pair, tmp_path: Path) -> None:
    proxy = Proxy(tmp_path, *pair.ports)
    with proxy.running():
        check(pair, proxy.http_port)


@pytest.mark.parametrize(
    ("language", "proxy"),
    [
        pytest.param("nginx", proxies.nginx, marks=needs_nginx),
        pytest.param("haproxy", proxies.haproxy, marks=needs_haproxy),
    ],
)
def test_no_request_fails_behind_nginx_and_haproxy_as_documented(
    pair: Pair, tmp_path: Path, language: str, proxy: Any
) -> None:
    port = free_port()
    with proxy(example(language, *pair.ports, port=port), tmp_path, port=port):
        check(pair, port)


@needs_caddy
@pytest.mark.parametrize("pair", [{"CODERAPI_SHUTDOWN_DELAY": "3s"}], indirect=True, ids=["delay"])
def test_no_request_fails_behind_caddy_as_documented(pair: Pair, tmp_path: Path) -> None:
    port = free_port()

    def is_back(server: int) -> bool:
        lines = (tmp_path / "caddy.log").read_text().splitlines()
        newest = [line for line in lines if f'"host":"127.0.0.1:{server}"' in line][-1:]
        return "host is up" in "".join(newest)

    with caddy(example("caddyfile", *pair.ports, port=port), tmp_path, port=port):
        check(pair, port, is_back)


class Echo(BaseHTTPRequestHandler):
    """Answers with the names and values of the request's headers."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.headers.items()).encode())

    def log_message(self, *arguments: object) -> None: ...


@needs_caddy
def test_caddy_as_documented_drops_forged_headers_and_logs_no_token(tmp_path: Path) -> None:
    port, token = free_port(), "the-token-of-somebody"
    headers = {
        "X_Forwarded_For": "203.0.113.1",
        "X-Forwarded-For": "203.0.113.2",
        "X-Forwarded-Proto": "https",
        "Coder-Session-Token": token,
    }

    def ask() -> Answer:
        return send(port, f"/api/v2/buildinfo?coder_session_token={token}", headers=headers)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    text = example("caddyfile", server.server_port, free_port(), port=port)
    with caddy(text.replace("5s", "1s"), tmp_path, port=port):
        with answering(server):
            wait_for(lambda: ask().status == 200)
            seen = dict(ask().json)
        assert wait_for(lambda: ask().status in {502, 503})
    assert seen["Host"] == f"127.0.0.1:{port}"
    assert (seen["X-Forwarded-For"], seen["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert seen["Coder-Session-Token"] == token
    assert not [name for name in seen if "_" in name]
    log = (tmp_path / "caddy.log").read_text()
    assert "health_checker" in log
    assert token not in log
