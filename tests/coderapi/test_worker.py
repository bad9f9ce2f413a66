"""The end of a web worker: while it starts, and with idle clients of TLS."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.coderapi.test_tls import files
from tests.support.certificates import Authority
from tests.support.processes import DEADLINE_SECONDS, PROJECT
from tests.support.servers_with_options import Obeying, obeying

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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(authority: Authority) -> Iterator[Obeying]:
    with obeying(
        "--web-only", **files(authority.pair("server")), CODER_TLS_ADDRESS="127.0.0.1:0"
    ) as found:
        yield found


def connect(server: Obeying) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port("https")), DEADLINE_SECONDS)


def kept(server: Obeying, tls: ssl.SSLContext) -> socket.socket:
    """Returns a connection that has had a response, and is kept open."""
    client = tls.wrap_socket(connect(server), server_hostname="localhost")
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    return client


def test_idle_clients_of_tls_do_not_delay_the_end(server: Obeying, authority: Authority) -> None:
    with ExitStack() as clients:
        clients.enter_context(kept(server, authority.trusting()))
        # This one never begins the handshake.
        clients.enter_context(connect(server))
        assert server.server.end(signal.SIGTERM) == 0
    # uvicorn logs this if its time for running requests was too short.
    assert "timeout graceful shutdown exceeded" not in server.log
