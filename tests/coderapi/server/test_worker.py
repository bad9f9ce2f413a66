"""The end of a web worker: while it starts, with an idle client of TLS, and without a successor."""

from __future__ import annotations

import errno
import os
import signal
import socket
import ssl
import sys
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from logging import WARNING
from pathlib import Path
from typing import Any

import pytest

from coderapi.server.listener import Listener
from tests.support.commands import execute
from tests.support.processes import DEADLINE_SECONDS, HANG_SECONDS, PROJECT, wait_for
from tests.support.servers.application import HEAD, LAST, Application
from tests.support.servers.certificates import Authority
from tests.support.servers.live import own_server
from tests.support.servers.serving import serving, until_the_end

# A supervisor with one worker. The worker waits in a step of its start until it must end. Its exit
# status is printed.
STARTS_SLOWLY = """
import os, select, signal, socket, sys
from coderapi.server.children import Child, Role
from coderapi.server.listener import Listener
from coderapi.server.worker import Worker

has_begun, begun = socket.socketpair()

def wait_for_signal():
    # Python writes a byte if it has a handler for the signal.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno())
    begun.send(b"x")
    select.select([reader], [], [], {seconds})
    if before >= 0:
        os.write(before, reader.recv(1))
        signal.set_wakeup_fd(before)

application = None

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
worker = Worker(Listener(socket.create_server(("127.0.0.1", 0))), load, tasks=tasks)
child = Child(Role("web", worker.run, {seconds} / 2, worker.listener))
child.start([child])
has_begun.recv(1)
child.end()
child._process.join()
print(child._process.exitcode)
"""


@pytest.mark.parametrize("step", ["load", "tasks"])
def test_worker_that_must_end_while_it_starts_is_not_killed(step: str) -> None:
    code = STARTS_SLOWLY.format(step=step, seconds=DEADLINE_SECONDS)
    found = execute([sys.executable, "-c", code], cwd=PROJECT)
    assert found.stdout.strip() in {"0", f"-{int(signal.SIGTERM)}"}, found.stderr


# The first process ends, and the operating system has no other process for a moment.
HAS_NO_PROCESS = """
import os, signal
from coderapi.server.children import Role
from coderapi.server.supervisor import Supervisor

fork, calls = os.fork, []

def fork_sometimes():
    calls.append(None)
    if len(calls) == 2:
        raise BlockingIOError("no process is left")
    return fork()

def run():
    if len(calls) == 1:
        os._exit(1)
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()

os.fork = fork_sometimes
print(Supervisor([Role("web", run)]).run(), len(calls))
"""


def test_supervisor_tries_again_if_it_cannot_restart_a_child() -> None:
    found = execute([sys.executable, "-c", HAS_NO_PROCESS], cwd=PROJECT)
    assert found.stdout == "0 3\n", found.stderr
    assert "The web process cannot start (no process is left). It restarts in" in found.stderr


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
def tls(authority: Authority) -> ssl.SSLContext:
    return authority.pair("server").serving()


def kept(client: socket.socket, authority: Authority) -> socket.socket:
    """Returns the connection after a response."""
    client = authority.trusting().wrap_socket(client, server_hostname="localhost")
    client.sendall(HEAD + b"\r\n")
    assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    return client


def test_handshakes_of_tls_are_limited_like_connections(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    limits: Any = {"connections": 20, "closed_together": 4}
    with ExitStack() as clients, serving(Application(), tls=tls, **limits) as server:
        honest = clients.enter_context(kept(server.connect(), authority))
        # Another address, which never begins the handshake.
        flood = [server.connect(address="127.0.0.2") for _ in range(100)]
        found = server.clients
        wait_for(lambda: found.addresses["127.0.0.2"] and len(found.open) <= 20)
        honest.sendall(HEAD + b"\r\n")
        assert honest.recv(4096).startswith(b"HTTP/1.1 200 ")
        clients.enter_context(kept(server.connect(), authority))
        wait_for(lambda: sum(map(is_closed, flood)) >= len(flood) - limits["connections"])
    wait_for(lambda: not found.open and not found.addresses)


def is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return not client.recv(1)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05"])
def test_handshake_that_fails_is_no_longer_counted(tls: ssl.SSLContext, sent: bytes) -> None:
    with serving(Application(), tls=tls) as server:
        with server.connect() as client:
            wait_for(lambda: server.clients.open)
            client.sendall(sent)
        wait_for(lambda: not server.clients.open and not server.clients.addresses)


class Failing(socket.socket):
    """A listening socket that cannot accept connections at first."""

    failures = 3

    def accept(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.mark.parametrize(("failures", "warned"), [(3, 3), (1000, 0)])
def test_server_pauses_if_it_cannot_accept_and_ends_as_usual(
    caplog: pytest.LogCaptureFixture, failures: int, warned: int
) -> None:
    found = Failing()
    found.bind(("127.0.0.1", 0))
    found.failures = failures
    with serving(Application(), Listener(found), accept_pause_seconds=0.01) as server:
        if warned:
            assert b"200 OK" in until_the_end(server.connect(LAST))
    messages = [record.getMessage() for record in caplog.records if record.levelno >= WARNING]
    assert messages[:warned] == ["No connection can be accepted: Too many open files"] * warned


def test_idle_client_of_tls_does_not_delay_the_end(
    authority: Authority, tls: ssl.SSLContext
) -> None:
    patience: dict[str, Any] = dict.fromkeys(("drain_seconds", "canceled_seconds"), HANG_SECONDS)
    with ExitStack() as clients, serving(Application(), tls=tls, **patience) as server:
        clients.enter_context(kept(server.connect(), authority))
        server.end()
        wait_for(lambda: not server.clients.open)


def test_worker_with_more_connections_lets_others_accept_first() -> None:
    with closing(Listener(socket.create_server(("127.0.0.1", 0)))) as listener:
        share, other = listener.share(), listener.share()
        assert not share.is_ahead(100)
        for number, most in ((2, 4), (97, 111)):
            other.is_ahead(number)
            assert [share.is_ahead(most), share.is_ahead(most + 1)] == [False, True]
        other.leave()
        assert not share.is_ahead(100)
        # It accepts them later if the other worker does not.
        other.is_ahead(0)
        with serving(Application(), listener) as server:
            clients = [server.connect(HEAD + b"\r\n") for _ in range(5)]
            assert [client.recv(12) for client in clients] == [b"HTTP/1.1 200"] * 5
