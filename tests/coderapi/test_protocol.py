"""The server's connections: heads, pipelined requests, and clients that go or do not read.

These tests also fail if the internals of uvicorn or httptools that the module uses have changed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from socket import SHUT_WR, SO_RCVBUF, SOL_SOCKET, create_connection, create_server, socket
from typing import Any

import pytest
import uvicorn

from coderapi import connections, protocol
from coderapi.connections import close_late_connections
from coderapi.protocol import (
    BROKEN,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_PIPELINED,
    MAX_TARGET_BYTES,
    Connection,
)
from coderapi.server.http import Loop, Server, configuration
from kernel.http.responses import Answer
from tests.support.processes import DEADLINE_SECONDS, wait_for

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
LARGE = bytes(32 << 20)


class Application:
    """An ASGI application. `seen` has what it has noticed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.names: set[bytes] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.names |= {name for name, _ in scope["headers"]}
        path = scope["path"]
        if scope["method"] == "POST":
            message = await receive()
            while message.get("more_body") and BROKEN not in scope:
                message = await receive()
            self.seen.append("broken" if BROKEN in scope else message["type"])
        if path == "/wait":
            self.seen.append("waits")
            try:
                await asyncio.sleep(DEADLINE_SECONDS)
            except asyncio.CancelledError:
                self.seen.append("canceled")
                return
        body = LARGE if path == "/large" else b"ok"
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(application: Any) -> Iterator[int]:
    """Serves the application in a thread, and yields the port."""
    with serving_with(application) as (_, port):
        yield port


@contextmanager
def serving_with[S: Server](
    application: Any,
    kind: Callable[[uvicorn.Config], S] = Server,  # type: ignore[assignment]
) -> Iterator[tuple[S, int]]:
    """Serves the application in a thread, and yields the server and the port."""
    listener = create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    config = configuration(application)
    config.timeout_graceful_shutdown = 1
    server = kind(config)

    async def serve() -> None:
        late = asyncio.create_task(close_late_connections())
        await server.serve(sockets=[listener])
        late.cancel()

    thread = threading.Thread(
        target=asyncio.run, args=(serve(),), kwargs={"loop_factory": Loop}, daemon=True
    )
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield server, port
    finally:
        server.should_exit = True
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


class EchoingApplication:
    """An ASGI application whose response has the body of the request."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, has_more = b"", True
        while has_more:
            message = await receive()
            body, has_more = body + message["body"], message["more_body"]
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class QuickApplication(Application):
    """An application that has the response to `/quick` in memory."""

    def answer_at_once(self, scope: Any) -> Answer | None:
        self.seen.append("asked")
        found = Answer(200, {"Content-Length": "5"}, b"quick")
        return found if scope["raw_path"] == b"/quick" else None


class VersionApplication(Application):
    """An application whose response is in memory: the version of HTTP of the request."""

    def answer_at_once(self, scope: Any) -> Answer:
        body = scope["http_version"].encode()
        return Answer(200, {"Content-Length": str(len(body))}, body)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def connect(application: Application) -> Iterator[Callable[[bytes], socket]]:
    with serving(application) as port:
        opened: list[socket] = []

        def begin(sent: bytes) -> socket:
            client = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
            opened.append(client)
            client.sendall(sent)
            return client

        yield begin
        for client in opened:
            client.close()


type Connect = Callable[[bytes], socket]


def until_the_end(client: socket) -> bytes:
    with closing(client), client.makefile("rb") as file:
        return file.read()


def test_requests_share_a_connection(connect: Connect) -> None:
    answers = until_the_end(connect(HEAD + b"\r\n" + HEAD + b"Connection: close\r\n\r\n"))
    assert answers.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (HEAD + b"a: b\r\n" * MAX_HEADERS + b"\r\n", b"431"),
        (HEAD + b"a: " + b"b" * MAX_HEAD_BYTES, b"431"),
        (HEAD + b"a: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n", b"431"),
        (b"GET /" + b"b" * MAX_HEAD_BYTES, b"414"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
        (b"GET /" + b"b" * MAX_TARGET_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (HEAD + b"Host: y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", b"501"),
        (HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"505"),
        (b"GET http://y@x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    ],
)
def test_bad_head_is_refused(connect: Connect, head: bytes, status: bytes) -> None:
    answer = until_the_end(connect(head))
    assert answer.split()[1] == status
    assert b"X-Coder-Request-Id: " in answer
    assert b'"message"' in answer


def test_rejected_head_request_gets_no_body(connect: Connect) -> None:
    answer = until_the_end(connect(b"HEAD / HTTP/1.1\r\n\r\n"))
    assert answer.split()[1] == b"400"
    assert answer.endswith(b"\r\n\r\n")


class HostApplication:
    """An ASGI application whose response is the Host header and the path of the request."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b" ".join(value for name, value in scope["headers"] if name == b"host")
        body += scope["raw_path"]
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://other:80/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://other:80/a?b//c HTTP/1.0\r\n\r\n",
    ],
)
def test_host_of_a_whole_url_replaces_the_header(head: bytes) -> None:
    with serving(HostApplication()) as port:
        client = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        client.sendall(head)
        assert until_the_end(client).endswith(b"\r\n\r\nother:80/a")


def test_later_requests_of_a_connection_may_have_a_large_head(connect: Connect) -> None:
    large = HEAD + b"a: " + b"b" * (MAX_HEAD_BYTES * 2 // 3) + b"\r\n"
    answers = until_the_end(connect(large + b"\r\n" + large + b"Connection: close\r\n\r\n"))
    assert answers.count(b"HTTP/1.1 200 ") == 2


def test_pipelined_requests_are_limited(connect: Connect) -> None:
    answers = until_the_end(connect((HEAD + b"\r\n") * 1000))
    assert answers.count(b"HTTP/1.1 200 ") == MAX_PIPELINED + 1


def quick(*heads: bytes) -> list[bytes]:
    """Returns the responses of one connection to a QuickApplication."""
    with serving(QuickApplication()) as port:
        client = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        client.sendall(b"".join(heads))
        return until_the_end(client).split(b"HTTP/1.1 ")[1:]


def test_responses_in_memory_are_sent_in_order_with_others() -> None:
    head = b"GET /quick HTTP/1.1\r\nHost: x\r\n"
    last = HEAD + b"Connection: close\r\n\r\n"
    found = quick(head + b"\r\n", HEAD + b"\r\n", head + b"\r\n", last)
    # While a task makes a response, the next request waits for its own task.
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in found]
    assert bodies == [b"quick", b"ok", b"ok", b"ok"]
    assert all(b"date: " in answer for answer in found)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /quick HTTP/1.0\r\n\r\n",
    ],
)
def test_response_in_memory_is_the_last_one_if_the_client_wants_that(head: bytes) -> None:
    [found] = quick(head)
    assert b"connection: close\r\n" in found
    assert found.endswith(b"quick")


def test_response_in_memory_to_head_has_no_body() -> None:
    [found] = quick(b"HEAD /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 5\r\n" in found
    assert found.endswith(b"\r\n\r\n")


def test_responses_in_memory_are_limited_too() -> None:
    """Otherwise, one packet with thousands of requests would block the event loop."""
    head = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
    found = quick(head * 1000)
    assert 0 < len([answer for answer in found if answer.startswith(b"200")]) <= MAX_PIPELINED + 1
    assert found[-1].startswith(b"400")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_response_in_memory_is_made_for_the_version_of_the_request(version: bytes) -> None:
    """The access log contains this version."""
    with serving(VersionApplication()) as port:
        client = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        client.sendall(b"GET / HTTP/" + version + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert until_the_end(client).endswith(b"\r\n\r\n" + version)


def test_client_that_sends_a_rejected_request_gets_the_whole_response(connect: Connect) -> None:
    """It reads the response only after it has sent everything."""
    client = connect(HEAD + b"Host: y\r\n\r\n")
    for _ in range(64):
        client.sendall(bytes(1 << 16))
    assert until_the_end(client).startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: not Connection.open)


def test_rejected_request_is_limited(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_DROPPED_BYTES", 1 << 20)
    client = connect(HEAD + b"Host: y\r\n\r\n")
    with pytest.raises(ConnectionError):
        client.sendall(bytes(64 << 20))
    wait_for(lambda: not Connection.open)


def test_rest_of_a_rejected_request_must_arrive_in_time(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.01)
    client = connect(HEAD + b"Host: y\r\n\r\n")
    assert until_the_end_of_one_side(client).startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: not Connection.open)
    client.close()


def until_the_end_of_one_side(client: socket) -> bytes:
    received = b""
    while piece := client.recv(1 << 16):
        received += piece
    return received


class StreamingApplication:
    """An ASGI application that streams two pieces. It fails in between if the path is `/fail`."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        if scope["path"] == "/fail":
            raise ValueError
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        await send({"type": "http.response.body"})


def streamed(head: bytes) -> bytes:
    with serving(StreamingApplication()) as port:
        client = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        client.sendall(head)
        return until_the_end(client)


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n"])
def test_response_is_not_streamed_in_chunks_to_an_old_client(more: bytes) -> None:
    answer = streamed(b"GET / HTTP/1.0\r\n" + more + b"\r\n")
    assert answer.endswith(b"\r\n\r\nonetwo")
    assert b"transfer-encoding" not in answer.lower()
    assert b"connection: close" in answer
    usual = streamed(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert usual.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_old_client_notices_that_a_stream_breaks_off() -> None:
    with pytest.raises(ConnectionResetError):
        streamed(b"GET /fail HTTP/1.0\r\n\r\n")
    assert not streamed(b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"0\r\n\r\n")


class HalfApplication:
    """An ASGI application that sends half of a response, and then waits."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(DEADLINE_SECONDS)


@pytest.mark.parametrize("head", [HEAD, b"GET / HTTP/1.0\r\n"])
def test_client_that_goes_during_a_response_is_no_error(head: bytes) -> None:
    with serving(HalfApplication()) as port:
        with create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
            client.sendall(head + b"\r\n")
            received = b""
            while not received.endswith(b"\r\n\r\no"):
                received += client.recv(4096)
            [connection] = Connection.open
            task = connection.task  # type: ignore[attr-defined]
        wait_for(task.done)
        assert task.exception() is None


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = HEAD + b"Connection: close\r\n\r\n"


def test_fields_after_a_chunked_body_are_no_headers(
    connect: Connect, application: Application
) -> None:
    answers = until_the_end(connect(CHUNKED + b"2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n" + LAST))
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert b"x-late" not in application.names


@pytest.mark.parametrize("field", [b"a: b\r\n", b"b"])
def test_fields_after_a_chunked_body_are_limited(connect: Connect, field: bytes) -> None:
    client = connect(CHUNKED + b"2\r\nok\r\n0\r\na: ")
    with suppress(ConnectionError):
        for _ in range(200):
            client.sendall(field * (MAX_HEAD_BYTES // len(field)))
    with suppress(ConnectionError):
        assert until_the_end(client).count(b"HTTP/1.1 ") <= 1
    wait_for(lambda: not Connection.open)


def test_next_head_is_limited_while_a_request_runs(
    connect: Connect, application: Application
) -> None:
    client = connect(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD)
    # The bytes that arrive together with the first head are not counted.
    wait_for(lambda: application.seen == ["waits"])
    [connection] = Connection.open
    client.sendall(b"a: " + b"b" * (2 * MAX_HEAD_BYTES))
    wait_for(lambda: connection.flow.read_paused)
    assert connection in Connection.open


def test_body_does_not_wait_behind_another_request(connect: Connect) -> None:
    answers = until_the_end(connect(HEAD + b"\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n"))
    assert answers.count(b"HTTP/1.1 ") == 1


def test_garbage_after_a_request_does_not_change_its_response(connect: Connect) -> None:
    answers = until_the_end(connect(HEAD + b"\r\n" + b"nonsense\r\n\r\n"))
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 ") == 1


def test_upgrade_is_ignored_and_the_connection_closed(connect: Connect) -> None:
    answers = until_the_end(connect(HEAD + UPGRADE + b"\r\n"))
    assert answers.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "rest",
    [
        [b"Content-Length: 2\r\n\r\nok"],
        [b"Content-Length: 2\r\n\r\no", b"k"],
        [b"Transfer-Encoding: chunked\r\n\r\n2\r\nok", b"\r\n0\r\n\r\n"],
        [b"Content-Length: 2\r\n\r\nok", b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nmore"],
    ],
)
def test_body_of_a_request_with_an_upgrade_is_read(rest: list[bytes]) -> None:
    """Java's client, and curl with --http2, send such requests."""
    first, *later = rest
    with serving(EchoingApplication()) as port:
        client = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + first)
        for each in later:
            client.sendall(each)
        answers = b""
        # The operating system resets a closed connection if its client goes on sending.
        with closing(client), suppress(ConnectionResetError):
            while piece := client.recv(1 << 16):
                answers += piece
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.endswith(b"\r\n\r\nok")


def test_interim_response_is_not_sent_to_an_old_client(connect: Connect) -> None:
    head = b"POST / HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
    assert until_the_end(connect(head)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\n"])
def test_late_head_ends_the_connection(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    answers = until_the_end(connect(sent))
    assert answers.count(b"HTTP/1.1 ") == sent.count(b"\r\n\r\n")
    wait_for(lambda: not Connection.open)


@pytest.mark.parametrize("kept", [HEAD, CHUNKED, CHUNKED + b"2\r\n"])
def test_connection_that_waits_longest_is_closed_when_there_are_too_many(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, kept: bytes
) -> None:
    monkeypatch.setattr(Connection, "max_open", 2)
    monkeypatch.setattr(connections, "CLOSED_TOGETHER", 1)
    oldest, busy = connect(kept), connect(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: len(Connection.waiting) == 1)
    newest = connect(HEAD)
    assert until_the_end(oldest) == b""
    newest.sendall(b"\r\n")
    assert newest.recv(4096).startswith(b"HTTP/1.1 200 ")
    busy.close()


def test_other_addresses_keep_their_connections_when_one_has_too_many(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "max_open", 4)
    other = connect(HEAD)
    port = other.getpeername()[1]
    wait_for(lambda: len(Connection.waiting) == 1)
    many = [
        create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) for _ in range(20)
    ]
    wait_for(lambda: len(Connection.open) <= 4)
    other.sendall(b"\r\n")
    assert other.recv(4096).startswith(b"HTTP/1.1 200 ")
    for each in many:
        each.close()


def unread(port: int, address: str) -> socket:
    """Returns a connection that does not read its response."""
    client = socket()
    client.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    client.bind((address, 0))
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    return client


def test_clients_that_do_not_read_make_room_for_others(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.01)
    other = connect(HEAD)
    port = other.getpeername()[1]
    many = [unread(port, "127.0.0.2") for _ in range(3)]
    wait_for(lambda: len(Connection.stalled) == 3)
    monkeypatch.setattr(Connection, "max_open", 3)
    newest = connect(HEAD)
    wait_for(lambda: len(Connection.open) == 2)
    for client in (other, newest):
        client.sendall(b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    for each in many:
        each.close()


def test_bytes_that_clients_do_not_read_are_limited(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", len(LARGE) * 3 // 2)
    port = connect(HEAD).getpeername()[1]
    first, second = unread(port, "127.0.0.1"), unread(port, "127.0.0.1")
    wait_for(lambda: sum(each.unsent > 0 for each in Connection.open) == 1)
    assert len(Connection.open) == 2
    first.close()
    second.close()


def test_tiny_chunks_are_limited(connect: Connect) -> None:
    client = connect(CHUNKED + b"2\r\nok\r\n")
    with suppress(ConnectionError):
        client.sendall(b"1\r\na\r\n" * 2 * protocol.MAX_TINY_CHUNKS)
    with suppress(ConnectionError):
        assert b"connection: close" in until_the_end(client)
    wait_for(lambda: not Connection.open)


def test_many_chunks_of_a_usual_size_are_read(connect: Connect, application: Application) -> None:
    chunk = b"%x\r\n%s\r\n" % (protocol.CHUNK_BYTES, b"a" * protocol.CHUNK_BYTES)
    client = connect(CHUNKED + chunk * 3 * protocol.MAX_TINY_CHUNKS + b"0\r\n\r\n" + LAST)
    assert until_the_end(client).count(b"HTTP/1.1 200 ") == 2
    assert application.seen == ["http.request"]


class LateServer(Server):
    """A server to which a client connects in the last moment: while its event loop is blocked."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.blocks, self.go = threading.Event(), threading.Event()

    async def on_tick(self, counter: int) -> bool:
        """Returns whether to stop. Then uvicorn begins to stop before the loop does more."""
        is_stopping = await super().on_tick(counter)
        if is_stopping:
            self.blocks.set()
            self.go.wait(DEADLINE_SECONDS)
        return is_stopping


def test_connection_that_waits_to_be_accepted_is_served_before_the_server_stops() -> None:
    with serving_with(Application(), LateServer) as (server, port):
        server.should_exit = True
        assert server.blocks.wait(DEADLINE_SECONDS)
        late = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        late.sendall(LAST)
        server.go.set()
        assert until_the_end(late).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_body_that_breaks_off_is_noticed_and_can_be_answered(
    connect: Connect, application: Application, framing: bytes
) -> None:
    client = connect(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n2\r\n[]\r\n")
    client.shutdown(SHUT_WR)
    assert b"connection: close" in until_the_end(client)
    assert application.seen == ["broken"]


def test_task_is_canceled_when_the_client_goes(connect: Connect, application: Application) -> None:
    client = connect(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: application.seen == ["waits"])
    client.close()
    wait_for(lambda: application.seen == ["waits", "canceled"])


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_client_that_does_not_read_is_disconnected(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.1)
    client = connect(b"")
    client.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n" + more + b"\r\n")
    wait_for(lambda: Connection.open)
    wait_for(lambda: not Connection.open)


def test_slow_reader_gets_the_whole_response(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not late with its next head while it reads the response."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.01)
    client = connect(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    received = len(client.recv(1 << 16))
    late = connect(b"")
    assert until_the_end(late) == b""
    while piece := client.recv(1 << 20):
        received += len(piece)
    assert received > len(LARGE)
