"""The end of a web worker: while it starts, and with an idle client of TLS."""

from __future__ import annotations

import errno
import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from logging import WARNING
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from coderapi import connections
from coderapi.protocol import Connection
from coderapi.server import http
from coderapi.server.http import Server
from tests.coderapi.test_protocol import HEAD, Application, serving_with
from tests.support.certificates import Authority
from tests.support.live import own_server
from tests.support.processes import DEADLINE_SECONDS, PROJECT, wait_for

# A supervisor with one worker. The worker waits in a step of its start until it must end. Its exit
# status is printed.
STARTS_SLOWLY = """
import select, signal, socket, sys
from coderapi.server.children import Child, Role
from coderapi.server.http import Listener, Worker

has_begun, begun = socket.socketpair()

def wait_for_signal():
    # Python writes a byte if it has a handler for the signal.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno())
    begun.send(b"x")
    select.select([reader], [], [], {seconds})

async def application(scope, receive, send):
    pass

async def run_beside():
    pass

def load():
    if {step!r} == "load":
        wait_for_signal()
    return application

def start():
    wait_for_signal()
    return run_beside()

tasks = [start] if {step!r} == "tasks" else []
worker = Worker(Listener("127.0.0.1", 0), load, tasks=tasks)
child = Child(Role("web", worker.run, worker.prepare_end, {seconds} / 2, worker.listener))
child.start([child])
has_begun.recv(1)
child.end()
child._process.join()
print(child._process.exitcode)
"""


@pytest.mark.parametrize("step", ["load", "tasks"])
def test_worker_that_must_end_while_it_starts_is_not_killed(step: str) -> None:
    code = STARTS_SLOWLY.format(step=step, seconds=DEADLINE_SECONDS)
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * DEADLINE_SECONDS,
    )
    assert found.stdout.strip() in {"0", f"-{int(signal.SIGTERM)}"}, found.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_worker_that_an_operator_stops_lets_clients_close_their_connections(
    tmp_path: Path, signum: int
) -> None:
    """Otherwise a proxy could send a request while the worker closes its idle connection."""
    with (
        own_server("--web-only", log=tmp_path / "log") as server,
        closing(HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)) as client,
    ):

        def is_last() -> bool:
            client.request("GET", "/healthz")
            response = client.getresponse()
            response.read()
            return response.getheader("Connection") == "close"

        assert not is_last()
        [worker] = server.web_workers()
        os.kill(worker, signum)
        wait_for(is_last)
        wait_for(lambda: server.web_workers() - {worker})
        assert server.get() == 200


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def with_tls(authority: Authority, config: uvicorn.Config) -> Server:
    """Returns a server for HTTPS, which gives clients ten seconds when it stops."""
    pair = authority.pair("server")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.certificate, pair.key)
    config.ssl_context_factory = lambda *_: tls
    config.timeout_graceful_shutdown = 10
    return Server(config)


def kept(client: socket.socket, tls: ssl.SSLContext) -> socket.socket:
    """Returns the connection after a response."""
    client = tls.wrap_socket(client, server_hostname="localhost")
    client.sendall(HEAD + b"\r\n")
    assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    return client


def test_handshakes_of_tls_are_limited_like_connections(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "max_open", 20)
    with ExitStack() as clients, serving_with(Application(), partial(with_tls, authority)) as found:
        port = ("127.0.0.1", found[1])
        honest = kept(socket.create_connection(port, DEADLINE_SECONDS), authority.trusting())
        clients.enter_context(honest)
        for _ in range(100):
            # Another address, which never begins the handshake.
            silent = socket.create_connection(port, source_address=("127.0.0.2", 0))
            clients.enter_context(silent)
        wait_for(lambda: Connection.addresses["127.0.0.2"] and len(Connection.open) <= 20)
        assert honest.recv(4096) == b"ok"
        honest.sendall(HEAD + b"\r\n")
        assert honest.recv(4096).startswith(b"HTTP/1.1 200 ")
        other = kept(socket.create_connection(port, DEADLINE_SECONDS), authority.trusting())
        clients.enter_context(other)
    wait_for(lambda: not Connection.open and not Connection.addresses)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05"])
def test_handshake_that_fails_is_no_longer_counted(authority: Authority, sent: bytes) -> None:
    with serving_with(Application(), partial(with_tls, authority)) as found:
        with socket.create_connection(("127.0.0.1", found[1])) as client:
            wait_for(lambda: Connection.open)
            client.sendall(sent)
        wait_for(lambda: not Connection.open and not Connection.addresses)


TOO_MANY = OSError(errno.EMFILE, "Too many open files")


def test_server_with_tls_pauses_if_it_cannot_accept(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "ACCEPT_PAUSE_SECONDS", 0.01)
    accept, failures = socket.socket.accept, [TOO_MANY] * 3

    def failing(listener: socket.socket) -> Any:
        if failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with serving_with(Application(), partial(with_tls, authority)) as found:
        client = socket.create_connection(("127.0.0.1", found[1]), DEADLINE_SECONDS)
        kept(client, authority.trusting()).close()
    messages = [record.getMessage() for record in caplog.records if record.levelno >= WARNING]
    assert messages == ["No connection can be accepted: Too many open files"] * 3


class EndingServer(Server):
    """A server that records whether it has stopped without an error."""

    has_stopped = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.has_stopped = True


def test_server_that_cannot_accept_stops_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(listener: socket.socket) -> Any:
        raise TOO_MANY

    monkeypatch.setattr(socket.socket, "accept", failing)
    with serving_with(Application(), EndingServer) as (server, _):
        pass
    assert server.has_stopped


def test_idle_client_of_tls_does_not_delay_the_end(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The end must not depend on the time after which idle connections are closed.
    monkeypatch.setattr(connections, "HEAD_SECONDS", DEADLINE_SECONDS)
    with ExitStack() as clients, serving_with(Application(), partial(with_tls, authority)) as found:
        client = socket.create_connection(("127.0.0.1", found[1]), DEADLINE_SECONDS)
        clients.enter_context(kept(client, authority.trusting()))
    # uvicorn logs this if it has waited for ten seconds.
    assert "timeout graceful shutdown exceeded" not in caplog.text
