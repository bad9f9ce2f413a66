"""The server's connections: heads, pipelined requests, and clients that go or do not read."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from socket import create_connection, create_server, socket
from typing import Any

import pytest

from coderapi.server.limits import Limits
from coderapi.server.listener import Listener
from kernel.http.exchange import Request
from kernel.http.responses import Answer
from tests.support.processes import DEADLINE_SECONDS, wait_for
from tests.support.servers.application import HEAD, LARGE, LAST, Application, Pieces
from tests.support.servers.serving import Serving, serving, unread, until_the_end

USUAL = Limits()
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
# Two requests with the header Host, of which the second is rejected.
TWO_HOSTS = HEAD + b"Host: y\r\n\r\n"


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Returns the head of a request. One of HTTP/1.1 names a host."""
    lines = [f"{method} {path} HTTP/{version}", *(["Host: x"] if version == "1.1" else [])]
    return "".join(f"{line}\r\n" for line in [*lines, *headers, ""]).encode()


WAIT, LATE, VERSION, STREAM = (get(f"/{path}") for path in ("wait", "late", "version", "stream"))


@pytest.fixture
def application() -> Application:
    return Application()


type Served = Callable[..., Serving]
type Sends = Callable[[bytes], bytes]


@pytest.fixture
def served(application: Application) -> Iterator[Served]:
    """Starts a server with limits, and closes the connections of its clients at the end."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(serving(application, **limits))


@pytest.fixture
def ask(served: Served) -> Sends:
    """Returns all that the server sends on a connection."""
    return lambda sent: until_the_end(served().connect(sent))


def bodies(answers: bytes) -> list[bytes]:
    return [each.partition(b"\r\n\r\n")[2] for each in answers.split(b"HTTP/1.1 ")[1:]]


def statuses(answers: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def is_ok(client: socket) -> bool:
    return client.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"a: b\r\n" * USUAL.headers + b"\r\n", 431),
        (HEAD + b"a: b\r\n" * USUAL.headers, 431),
        (get("/", "a" * (USUAL.header_name_bytes + 1) + ": b"), 431),
        (HEAD + b"a: " + b"b" * USUAL.head_bytes, 431),
        (HEAD + b"a: " + b"b" * USUAL.head_bytes + b"\r\n\r\n", 431),
        (b"GET /" + b"b" * USUAL.head_bytes, 414),
        (get("/" + "b" * USUAL.target_bytes), 414),
        (get("/", "Content-Length: 1", "Content-Length: 2"), 400),
        *(
            (get("/", f"Content-Length: {text}"), 400)
            for text in ("-1", "+1", "005", "1, 1", "9" * 30)
        ),
        (get("/", "Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (get("/", "Transfer-Encoding: gzip, chunked"), 501),
        (get("/", "Transfer-Encoding: chunked", method="POST", version="1.0"), 400),
        (TWO_HOSTS, 400),
        (get("/", "Host: x", "Host: x", version="1.0"), 400),
        *((get(path), 400) for path in ("http://y@x/", "ftp://x/", "x", " /", "/ ", "/#a")),
        (get("x:80", method="CONNECT"), 400),
        # RFC 9112, 3.2 requires the header also if the target names a host.
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n", 400),
        *((get("/", line), 400) for line in ("a : b", "a: b\r\n c", " a: b", "a: b\rc: d")),
        (get("/", "a: b\x00"), 400),
    ],
)
def test_bad_head_is_refused(ask: Sends, head: bytes, status: int) -> None:
    answer = ask(head)
    assert statuses(answer) == [status]
    assert b"connection: close\r\n" in answer
    assert b'"message"' in answer


@pytest.mark.parametrize("size", [1, 7])
def test_head_may_arrive_in_any_pieces(served: Served, application: Application, size: int) -> None:
    client = served().connect()
    sent = CHUNKED + b"2;a=b\r\nok\r\n0\r\nA: b\r\n\r\n" + LAST
    for at in range(0, len(sent), size):
        client.sendall(sent[at : at + size])
    assert statuses(until_the_end(client)) == [200, 200]
    assert application.bodies == [b"ok"]


@pytest.mark.parametrize(
    ("head", "status", "length"),
    [
        (b"HEAD / HTTP/1.1\r\n\r\n", 400, b""),
        (get("/version", "Connection: close", method="HEAD"), 200, b"Content-Length: 3\r\n"),
    ],
)
def test_response_to_head_has_no_body(ask: Sends, head: bytes, status: int, length: bytes) -> None:
    answer = ask(head)
    assert statuses(answer) == [status]
    assert length in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        get("http://other:80/host", "Connection: close"),
        *(get(f"http://other:80/host{end}", version="1.0") for end in ("", "?")),
    ],
)
def test_host_of_a_whole_url_replaces_the_header(ask: Sends, head: bytes) -> None:
    assert bodies(ask(head)) == [b"other:80?"]


def test_whitespace_around_the_value_of_a_header_is_no_part_of_it(ask: Sends) -> None:
    """RFC 9110, 5.5."""
    lines = (b"Host: \t other:80 \t", b"Content-Length: 2 ", b"Connection: close ")
    answer = ask(b"POST /host HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\nok")
    assert (statuses(answer), bodies(answer)) == ([200], [b"other:80?"])


def test_requests_share_a_connection_and_later_ones_may_have_a_large_head(ask: Sends) -> None:
    large = HEAD + b"a: " + b"b" * (USUAL.head_bytes * 2 // 3) + b"\r\n"
    assert statuses(ask(large + b"\r\n" + large + b"Connection: close\r\n\r\n")) == [200, 200]


@pytest.mark.parametrize(("path", "number"), [("/", 1000), ("/late", 20)])
def test_pipelined_requests_all_get_a_response(ask: Sends, path: str, number: int) -> None:
    assert statuses(ask(get(path) * number + LAST)) == [200] * (number + 1)


def test_pipelined_requests_let_other_clients_have_their_turn(served: Served) -> None:
    """Only two requests are handled before the event loop goes on."""
    server, turns = served(heads_in_a_turn=2), []

    class Counting(Application):
        async def exchange(self, request: Request) -> Answer:
            turns.append(1)
            server.loop.call_soon(turns.append, 0)
            return await super().exchange(request)

    server.server._application = Counting()
    assert len(statuses(until_the_end(server.connect((HEAD + b"\r\n") * 9 + LAST)))) == 10
    assert max(map(len, "".join(map(str, turns)).split("0"))) == 2


def test_responses_in_memory_are_sent_in_order_with_others(ask: Sends) -> None:
    found = ask(VERSION + LATE + VERSION + LAST)
    assert bodies(found) == [b"1.1", b"ok", b"1.1", b"ok"]
    assert found.count(b"\r\nDate: ") == 4
    with_body = LATE + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + LAST
    assert bodies(ask(with_body)) == [b"ok", b"hi", b"ok"]


@pytest.mark.parametrize(
    ("version", "headers"),
    [("1.1", ["Connection: close"]), ("1.0", []), ("1.0", ["Connection: keep-alive"])],
)
def test_response_is_the_last_one_if_the_client_wants_that(
    ask: Sends, version: str, headers: list[str]
) -> None:
    found = ask(get("/version", *headers, version=version))
    assert b"connection: close\r\n" in found
    # The access log contains this version.
    assert bodies(found) == [version.encode()]


def test_repeated_head_is_a_request_of_its_own(ask: Sends) -> None:
    sent = [get(f"/host?{query}") for query in "aaba"]
    last = get("/host?a", "Connection: close")
    assert bodies(ask(b"".join([*sent, last]))) == [b"x?a", b"x?a", b"x?b", b"x?a", b"x?a"]
    # The headers of the first head are not those of the rejected one.
    assert statuses(ask(sent[0] + b"GET /\x00 HTTP/1.1\r\n\r\n")) == [200, 400]
    posts = get("/", "Content-Length: 2", method="POST")
    assert bodies(ask(posts + b"ab" + posts + b"cd" + LAST)) == [b"ab", b"cd", b"ok"]


def test_next_head_is_limited_while_a_request_runs(
    served: Served, application: Application
) -> None:
    server = served()
    client = server.connect(WAIT)
    wait_for(lambda: application.seen == ["waits"])
    [connection] = server.clients.open
    client.sendall(HEAD + b"a: " + b"b" * (2 * USUAL.head_bytes))
    wait_for(lambda: not connection._is_reading)  # type: ignore[attr-defined]
    assert connection in server.clients.open


def test_next_heads_are_limited_while_the_client_reads_no_response(served: Served) -> None:
    server = served(held_bytes_of_address=1 << 30)
    client = unread(server.port, get("/large"))
    server.opened.append(client)
    wait_for(lambda: [each.unsent for each in server.clients.open] > [0])
    client.settimeout(0.1)
    with suppress(TimeoutError):
        client.sendall(get("/version") * (1 << 18))
    assert server.clients.held_in_all < (1 << 20)
    client.settimeout(DEADLINE_SECONDS)


def test_garbage_after_a_request_does_not_change_its_response(ask: Sends) -> None:
    assert statuses(ask(HEAD + b"\r\n" + b"nonsense\r\n\r\n")) == [200, 400]


def test_client_that_sends_a_rejected_request_gets_the_whole_response(served: Served) -> None:
    """It reads the response only after it has sent everything."""
    server = served()
    client = server.connect(TWO_HOSTS)
    for _ in range(64):
        client.sendall(bytes(1 << 16))
    assert statuses(until_the_end(client)) == [400]
    wait_for(lambda: not server.clients.open)


def test_rejected_request_is_limited(served: Served) -> None:
    server = served(dropped_bytes=1 << 20)
    client = server.connect(TWO_HOSTS)
    with pytest.raises(ConnectionError):
        client.sendall(bytes(64 << 20))
    wait_for(lambda: not server.clients.open)


def test_rest_of_a_rejected_request_must_arrive_in_time(served: Served) -> None:
    server = served()
    client = server.connect(TWO_HOSTS)
    received = client.recv(1 << 16)
    server.later(USUAL.head_seconds + 1)
    assert statuses(received + until_the_end(client)) == [400]
    wait_for(lambda: not server.clients.open)


@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"]])
def test_response_is_not_streamed_in_chunks_to_an_old_client(
    ask: Sends, headers: list[str]
) -> None:
    answer = ask(get("/stream", *headers, version="1.0"))
    assert answer.endswith(b"\r\n\r\nonetwo")
    assert b"transfer-encoding" not in answer.lower()
    assert b"connection: close" in answer


def test_response_is_streamed_in_chunks(ask: Sends) -> None:
    streamed = b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert bodies(ask(STREAM + STREAM + LAST)) == [streamed, streamed, b"ok"]
    assert Pieces.closed[-2:] == [True, True]
    head = get("/stream", "Connection: close", method="HEAD")
    assert ask(head).endswith(b"close\r\n\r\n")
    assert bodies(ask(get("/stream", method="HEAD") + LAST)) == [b"", b"ok"]


def test_client_notices_that_a_stream_breaks_off(ask: Sends) -> None:
    with pytest.raises(ConnectionResetError):
        ask(get("/stream/fail", version="1.0"))
    assert bodies(ask(get("/stream/fail"))) == [b"3\r\none\r\n"]


def test_response_with_a_line_break_in_a_header_is_not_sent(
    ask: Sends, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(get("/broken")) == b""
    assert "A header contains a line break." in caplog.text


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_stream_is_closed_when_its_client_goes(served: Served, version: str) -> None:
    server, before = served(), len(Pieces.closed)
    with server.connect(get("/stream/half", version=version)) as client:
        received = b""
        while b"one" not in received:
            received += client.recv(4096)
    wait_for(lambda: Pieces.closed[before:] == [False])
    assert not server.clients.open


def test_fields_after_a_chunked_body_are_no_headers(ask: Sends, application: Application) -> None:
    answers = ask(CHUNKED + b"2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n" + LAST)
    assert statuses(answers) == [200, 200]
    assert "x-late" not in application.names


@pytest.mark.parametrize(
    "body",
    [
        *(b"x\r\n", b"-1\r\n", b"0x2\r\nok\r\n", b" 2\r\nok\r\n", b"\r\n", b"2\nok\n"),
        *(b"1" * 13 + b"\r\n", b"2\r\nokx\r\n0\r\n\r\n", b"2\r\nok0\r\n\r\n"),
        *(b"2\r\nok\n0\r\n\r\n", b"2;\x00\r\nok\r\n", b"2\r\nok\r\n0\r\nnonsense\r\n\r\n"),
        *(b"0\r\na: b\nc: d\r\n\r\n", b"2" + b" " * 2000),
    ],
)
def test_bad_chunks_are_refused(ask: Sends, application: Application, body: bytes) -> None:
    assert b"connection: close" in ask(CHUNKED + body)
    assert application.bodies == [b"ok"]
    assert application.seen != []


@pytest.mark.parametrize("field", [b"a: b\r\n", b"b"])
def test_fields_after_a_chunked_body_are_limited(served: Served, field: bytes) -> None:
    server = served()
    client = server.connect(CHUNKED + b"2\r\nok\r\n0\r\na: ")
    with suppress(ConnectionError):
        for _ in range(2000):
            client.sendall(field * (USUAL.head_bytes // len(field)))
    with suppress(ConnectionError):
        assert len(statuses(until_the_end(client))) <= 1
    wait_for(lambda: not server.clients.open)


def test_tiny_chunks_are_limited(ask: Sends, application: Application) -> None:
    answer = ask(CHUNKED + b"2\r\nok\r\n" + b"1\r\na\r\n" * 2 * USUAL.tiny_chunks)
    assert b"connection: close" in answer
    assert "too small" in application.seen[0]


def test_many_chunks_of_a_usual_size_are_read(ask: Sends, application: Application) -> None:
    chunk = b"%x\r\n%s\r\n" % (USUAL.chunk_bytes, b"a" * USUAL.chunk_bytes)
    number = 3 * USUAL.tiny_chunks // 2
    assert statuses(ask(CHUNKED + chunk * number + b"0\r\n\r\n" + LAST)) == [200, 200]
    assert application.bodies == [b"a" * USUAL.chunk_bytes * number]


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ([b"\r\n" + HEAD], b"ok"),
        ([b"Content-Length: 2\r\n\r\nhi"], b"hi"),
        ([b"Content-Length: 2\r\n\r\nh", b"i"], b"hi"),
        ([b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi", b"\r\n0\r\n\r\n"], b"hi"),
        ([b"Content-Length: 2\r\n\r\nhi", get("/", "Content-Length: 4") + b"more"], b"hi"),
    ],
)
def test_upgrade_is_ignored_the_body_read_and_the_connection_closed(
    served: Served, rest: list[bytes], found: bytes
) -> None:
    """Java's client, and curl with --http2, send such requests."""
    client = served().connect(b"POST / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + rest[0])
    answers = b""
    # The operating system resets a closed connection if its client goes on sending.
    with client, suppress(ConnectionError):
        for each in rest[1:]:
            client.sendall(each)
        while piece := client.recv(1 << 16):
            answers += piece
    assert bodies(answers) == [found]


def test_interim_response_is_sent_when_the_body_is_wanted(ask: Sends, served: Served) -> None:
    expecting = ("Host: x", "Expect: 100-continue", "Content-Length: 2")
    assert statuses(ask(get("/", *expecting, method="POST", version="1.0") + b"ok")) == [200]
    client = served().connect(get("/", *expecting[1:], method="POST"))
    assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"hi" + LAST)
    assert bodies(until_the_end(client)) == [b"hi", b"ok"]


def held(server: Serving) -> int:
    return server.clients.held.total()


@pytest.mark.parametrize(("sent", "status"), [(HEAD + b"a: ", 429), (CHUNKED, 200)])
def test_bytes_of_one_address_are_limited(served: Served, sent: bytes, status: int) -> None:
    server = served(held_bytes_of_address=100_000)
    piece = b"6000\r\n" * (sent is CHUNKED) + b"a" * 20_000
    clients = [server.connect(sent + piece) for _ in range(4)]
    wait_for(lambda: held(server) > 80_000)
    refused = server.connect(sent + piece)
    if sent is CHUNKED:
        wait_for(lambda: len(server.clients.held) == 1)
    assert statuses(until_the_end(refused)) == [status]
    assert statuses(until_the_end(server.connect(LAST, "127.0.0.2"))) == [200]
    for each in clients:
        each.close()
    wait_for(lambda: not held(server))


def test_bytes_of_a_proxy_count_for_the_client_of_each_request(
    served: Served, settings: Any
) -> None:
    """The next request on a connection of a proxy may be that of another client."""
    settings.TRUSTED_PROXY_ORIGINS = ["127.0.0.1"]
    settings.TRUSTED_PROXY_HEADERS = ["X-Real-IP"]
    server = served(held_bytes_of_address=100_000)
    busy, other = (f"X-Real-IP: 192.0.2.{number}" for number in (1, 2))
    upload = get("/", busy, "Content-Length: 50000", method="POST") + b"a" * 45_000
    for _ in range(2):
        server.connect(upload)
    wait_for(lambda: held(server) > 90_000)
    proxy = server.connect(get("/", busy))
    assert is_ok(proxy)
    body = b"a" * 30_000
    proxy.sendall(get("/", other, "Content-Length: 30000", method="POST") + body + LAST)
    assert bodies(until_the_end(proxy))[0] == body


def test_first_bytes_do_not_count_for_all_addresses(served: Served) -> None:
    server = served(held_bytes=1, free_bytes=1000)
    for size, status in ((1000, 503), (900, 200)):
        head = HEAD + b"a: " + b"a" * size + b"\r\nConnection: close\r\n\r\n" * (status == 200)
        assert statuses(until_the_end(server.connect(head))) == [status]
    assert server.clients.held_in_all == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_connection_that_is_aborted_while_it_begins_is_not_counted(
    served: Served, turns: int
) -> None:
    server = served()
    connections: Any = server.clients.open

    def abort_after(turns: int) -> None:
        if turns:
            server.loop.call_soon(abort_after, turns - 1)
        for each in [] if turns else [*connections]:
            each.abort()

    def look() -> None:
        if connections:
            abort_after(turns)
        else:
            server.loop.call_soon(look)

    server.loop.call_soon_threadsafe(look)
    assert until_the_end(server.connect(b"")) == b""
    wait_for(lambda: not connections)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\n"])
def test_late_head_ends_the_connection(served: Served, sent: bytes) -> None:
    server = served()
    client = server.connect(sent)
    answer = client.recv(1 << 16) if sent.endswith(b"\r\n\r\n") else b""
    # A connection with unread bytes would be reset.
    connections: Any = server.clients.open
    wait_for(lambda: [each.is_idle for each in [*connections]] == [sent != HEAD])
    server.later(USUAL.head_seconds + 1)
    assert until_the_end(client) == b""
    assert len(statuses(answer)) == sent.count(b"\r\n\r\n")
    wait_for(lambda: not server.clients.open)


def test_body_has_its_own_time_after_the_head(served: Served) -> None:
    """The time before the head does not count for the body."""
    server = served()
    client = server.connect(HEAD + b"\r\n")
    assert client.recv(1 << 16)
    [connection] = server.clients.open
    before = connection.waits_since
    server.later(USUAL.head_seconds * 0.6)
    client.sendall(CHUNKED)
    wait_for(lambda: connection.waits_since != before)
    server.later(USUAL.head_seconds * 0.6)
    client.sendall(b"2\r\nok\r\n0\r\n\r\n")
    assert is_ok(client)


def test_task_is_canceled_when_the_client_goes(served: Served, application: Application) -> None:
    client = served().connect(WAIT)
    wait_for(lambda: application.seen == ["waits"])
    client.close()
    wait_for(lambda: application.seen == ["waits", "canceled"])


@pytest.mark.parametrize("kept", [HEAD, CHUNKED, CHUNKED + b"2\r\n"])
def test_connection_that_waits_longest_is_closed_when_there_are_too_many(
    served: Served, application: Application, kept: bytes
) -> None:
    server = served(connections=2, closed_together=1)
    oldest = server.connect(kept)
    wait_for(lambda: len(server.clients.open) == 1)
    busy = server.connect(WAIT)
    wait_for(lambda: application.seen == ["waits"])
    newest = server.connect(HEAD)
    assert until_the_end(oldest) == b""
    newest.sendall(b"\r\n")
    assert is_ok(newest)
    busy.close()


@contextmanager
def many(server: Serving, number: int) -> Iterator[None]:
    """Opens connections of another address."""
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(server.connect(b"", "127.0.0.2"))
        yield


def test_other_addresses_keep_their_connections_when_one_has_too_many(served: Served) -> None:
    server = served(connections=4, closed_together=1)
    other = server.connect(HEAD)
    wait_for(lambda: len(server.clients.open) == 1)
    with many(server, 20):
        wait_for(lambda: len(server.clients.open) <= 4)
        other.sendall(b"\r\n")
        assert is_ok(other)


def test_address_has_a_part_of_all_connections(served: Served) -> None:
    server = served(connections_of_address=4, closed_together=1)
    with many(server, 20):
        wait_for(lambda: server.clients.addresses["127.0.0.2"] == 4)
        assert statuses(until_the_end(server.connect(LAST))) == [200]


@pytest.mark.parametrize("limit", ["connections", "connections_of_address"])
def test_new_connection_is_kept_and_counted_when_all_others_are_closed(
    served: Served, limit: str
) -> None:
    server = served(**{limit: 2})
    *others, newest = (server.connect() for _ in range(3))
    assert [until_the_end(client) for client in others] == [b"", b""]
    newest.sendall(HEAD + b"\r\n")
    assert is_ok(newest)
    assert server.clients.addresses["127.0.0.1"] == len(server.clients.open) == 1


def test_clients_with_a_response_keep_their_connections_when_many_addresses_connect(
    served: Served,
) -> None:
    server = served(connections=8, closed_together=2)
    office = [server.connect(HEAD + b"\r\n") for _ in range(4)]
    assert all(map(is_ok, office))
    with ExitStack() as stack:
        for number in range(40):
            stack.enter_context(server.connect(HEAD, f"127.0.1.{number}"))
        wait_for(lambda: len(server.clients.unanswered) <= 4)
        for each in office:
            each.sendall(LAST)
            assert is_ok(each) or each.recv(1) == b""
        assert statuses(until_the_end(server.connect(LAST, "127.0.2.1"))) == [200]


def test_clients_that_do_not_read_make_room_for_others(served: Served) -> None:
    server = served(sweep_seconds=0.01, connections=4, closed_together=1)
    other = server.connect(HEAD + b"\r\n")
    assert is_ok(other)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(unread(server.port, get("/large"), address="127.0.0.2"))
        wait_for(lambda: len(server.clients.stalled) == 3)
        assert is_ok(server.connect(HEAD + b"\r\n"))
        wait_for(lambda: server.clients.addresses["127.0.0.2"] <= 2)
        other.sendall(LAST)
        assert b"200 OK" in until_the_end(other)


def test_bytes_that_clients_do_not_read_are_limited(served: Served) -> None:
    server = served(sweep_seconds=0.01, unsent_bytes=len(LARGE) * 3 // 2)
    large = get("/large")
    with unread(server.port, large), unread(server.port, large):
        wait_for(lambda: len(server.clients.open) == 1 and server.clients.stalled)


@pytest.mark.parametrize("headers", [[], ["Connection: close"]])
def test_client_that_does_not_read_is_disconnected(served: Served, headers: list[str]) -> None:
    server = served()

    def is_disconnected() -> bool:
        server.later(USUAL.stalled_seconds + 1)
        return not server.clients.open

    with unread(server.port, get("/large", *headers)):
        wait_for(lambda: server.clients.open)
        wait_for(is_disconnected)


def test_slow_reader_gets_the_whole_response(served: Served) -> None:
    """It is not late with its next head while it reads the response."""
    server = served()
    client = server.connect(get("/large"))
    received = len(client.recv(1 << 16))
    server.later(USUAL.head_seconds + 1)
    while received <= len(LARGE) and (piece := client.recv(1 << 20)):
        received += len(piece)
    assert received > len(LARGE)


def test_slow_reader_has_the_whole_time_for_its_next_head(served: Served) -> None:
    server = served()
    client = server.connect(get("/large"))
    received = len(client.recv(1 << 16))
    [connection] = server.clients.open
    wait_for(lambda: connection.unsent and connection.is_answered)
    server.later(USUAL.head_seconds + 1)
    while received <= len(LARGE):
        received += len(client.recv(1 << 20))
    wait_for(lambda: not connection.unsent)
    server.later(USUAL.head_seconds - 1)
    client.sendall(LAST)
    assert statuses(until_the_end(client)) == [200]


def test_connection_that_waits_to_be_accepted_is_served_before_the_server_ends(
    application: Application,
) -> None:
    blocks, go = threading.Event(), threading.Event()

    def block() -> None:
        blocks.set()
        go.wait(DEADLINE_SECONDS)

    with serving(application, last_seconds=DEADLINE_SECONDS) as server:
        server.loop.call_soon_threadsafe(block)
        assert blocks.wait(DEADLINE_SECONDS)
        server.end()
        late = server.connect(LAST)
        go.set()
        assert statuses(until_the_end(late)) == [200]


@pytest.mark.skipif(sys.platform != "linux", reason="needs an option of Linux")
def test_new_connections_are_ignored_before_the_server_ends(application: Application) -> None:
    """A connection that is accepted by the kernel alone would be reset."""
    listener = Listener(create_server(("127.0.0.1", 0)))
    listener.is_ending = True

    def is_ignored() -> bool:
        with suppress(TimeoutError):
            create_connection(listener.socket.getsockname(), timeout=0.1).close()
            return False
        return True

    patience: Any = {"handshake_seconds": 2, "last_seconds": DEADLINE_SECONDS}
    with serving(application, listener, **patience) as server:
        earlier = server.connect()
        server.end()
        wait_for(is_ignored)
        earlier.sendall(LAST)
        assert statuses(until_the_end(earlier)) == [200]


def test_response_that_the_client_still_reads_is_finished_before_the_server_ends(
    application: Application,
) -> None:
    with serving(application, drain_seconds=DEADLINE_SECONDS) as server:
        client, idle = server.connect(get("/large")), server.connect()
        received = client.recv(1 << 16)
        server.end()
        assert until_the_end(idle) == b""
        assert len(received + until_the_end(client)) > len(LARGE)


def test_running_request_is_rejected_at_the_end(application: Application) -> None:
    with serving(application, drain_seconds=0.1) as server:
        client = server.connect(WAIT)
        wait_for(lambda: application.seen == ["waits"])
        server.end()
        assert statuses(until_the_end(client)) == [503]
