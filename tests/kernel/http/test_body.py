"""Request bodies: their size, their deadline, and how many bytes of them a process holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import SHUT_WR, create_connection, socket
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.http.asking import run
from kernel.http.body import DEADLINE_SECONDS, Body, incomplete
from kernel.http.errors import APIError
from tests.support.processes import HANG_SECONDS, wait_for
from tests.support.servers.live import Server, own_server
from tests.support.servers.proxies import Proxy, needs_nginx

CAP = 1000
LOGIN, REPORTS = "/api/v2/users/login", "/api/v2/csp/reports"


def body_of(
    pieces: Iterable[bytes],
    *,
    cap: int = CAP,
    length: int | None = None,
    error: Exception | None = None,
    seconds: float = 30.0,
) -> bytes:
    """Returns the body whose pieces arrive after it is read. It ends with the error, if given."""
    body: Body

    def want() -> None:
        for piece in pieces:
            body.add(piece)
        if error:
            body.fail(error)
        elif seconds:
            body.complete()

    body = Body(length, want, seconds)
    return run(body.read(cap))


def refusal_of(pieces: Iterable[bytes], **more: Any) -> APIError:
    with pytest.raises(APIError) as caught:
        body_of(pieces, **more)
    return caught.value


# --- Parts ------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=5))
def test_body_is_not_changed(pieces: list[bytes]) -> None:
    assert body_of(pieces, cap=2_000_000) == b"".join(pieces)


@pytest.mark.parametrize("size", [CAP - 1, CAP])
def test_body_may_be_as_large_as_the_cap(size: int) -> None:
    assert body_of([b"x" * size, b""]) == b"x" * size


@pytest.mark.parametrize("pieces", [[b"x" * (CAP + 1)], [b"x" * CAP, b"x"], [b"x" * 9] * CAP])
def test_larger_body_is_413(pieces: list[bytes]) -> None:
    assert refusal_of(pieces).status == 413


@pytest.mark.parametrize("length", [CAP + 1, 10**18])
def test_larger_body_is_413_by_its_length(length: int) -> None:
    # A client that waits for "100 Continue" then does not send its body.
    assert refusal_of([], length=length).status == 413


@pytest.mark.parametrize("pieces", [[b""], [b"a"], [b"[1", b"]"]])
def test_body_that_breaks_off_is_400(pieces: list[bytes]) -> None:
    assert refusal_of(pieces, error=incomplete()).status == 400


def test_late_body_is_408() -> None:
    assert refusal_of([b"a"], seconds=0.0).status == 408


def test_body_that_is_not_kept_has_no_bytes() -> None:
    body = Body(None, lambda: None)
    body.add(b"a")
    body.fail(incomplete())
    body.add(b"b")
    assert body.data == b""


# --- Under the real server --------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    more = {"CODER_STRICT_TRANSPORT_SECURITY": "3600", "CODERAPI_CSP_ALLOWED_SENDERS": "public"}
    more["CODER_API_RATE_LIMIT"] = "100000"
    with own_server("--web-only", log=log, **more) as server:
        yield server


def stall(port: int, *, path: str = LOGIN, length: int = 500) -> socket:
    """Opens a connection, and sends a request with an incomplete body."""
    connection = create_connection(("127.0.0.1", port), timeout=HANG_SECONDS)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\na"
    connection.sendall(head.encode())
    return connection


@contextmanager
def stalled(port: int, *, count: int) -> Iterator[list[socket]]:
    with ExitStack() as attack:
        yield [attack.enter_context(closing(stall(port))) for _ in range(count)]


def test_stalled_bodies_do_not_disturb_other_requests(server: Server) -> None:
    with stalled(server.port, count=600):
        assert {server.ask("/api/v2/buildinfo").status for _ in range(100)} == {200}
        # The same address can still send bodies.
        assert server.ask(LOGIN, method="POST", body=b"{}").status == 400


def test_body_that_drips_ends_at_the_deadline(server: Server) -> None:
    begun = time.monotonic()
    with closing(stall(server.port)) as client:
        client.setblocking(False)

        def answer() -> bytes:
            try:
                return client.recv(4096)
            except BlockingIOError:
                client.send(b"a")
                return b""

        assert wait_for(answer).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - begun >= DEADLINE_SECONDS - 1


@needs_nginx
def test_stalled_bodies_do_not_pass_the_proxy(server: Server, tmp_path: Path) -> None:
    def ask_through(proxy: Proxy) -> int:
        with closing(
            HTTPConnection("127.0.0.1", proxy.http_port, timeout=HANG_SECONDS)
        ) as connection:
            connection.request("GET", "/api/v2/buildinfo")
            return connection.getresponse().status

    with (
        Proxy(tmp_path, server.port).running() as proxy,
        stalled(proxy.http_port, count=130),
    ):
        assert {ask_through(proxy) for _ in range(100)} == {200}
        assert server.ask(LOGIN, method="POST", body=b"{}").status == 400


@pytest.mark.parametrize("path", [REPORTS, f"/{REPORTS}", f"//{REPORTS}"])
def test_repeated_slashes_do_not_avoid_the_cap_of_a_path(server: Server, path: str) -> None:
    answer = server.ask(path, method="POST", body=b"x" * (2 << 20))
    assert answer.status == 413
    assert answer.json["detail"] == "The limit is 1048576 bytes."


def test_refusal_of_a_body_has_the_headers_of_all_answers(server: Server) -> None:
    always = {
        *("x-coder-build-version", "x-coder-request-id"),
        *("x-content-type-options", "strict-transport-security"),
    }
    for body in (b"{}", b"x" * 5_000_000):
        answer = server.ask(LOGIN, method="POST", body=body)
        assert answer.status == (400 if len(body) == 2 else 413)
        assert always <= {name.lower() for name in answer.headers}


REPORT = b'{"csp-report": {"blocked-uri": "https://broken.example.com/x.js"}}'


@pytest.mark.parametrize(
    "sent",
    [
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3",
        b"Transfer-Encoding: chunked\r\n\r\n20\r\n" + REPORT[:9],
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(REPORT), REPORT),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\nno chunk\r\n" % (len(REPORT), REPORT),
        b"Content-Length: %d\r\n\r\n%b" % (len(REPORT) + 1, REPORT),
    ],
)
@pytest.mark.parametrize("path", [LOGIN, REPORTS])
def test_body_that_breaks_off_is_400_and_not_stored(server: Server, path: str, sent: bytes) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    with closing(create_connection(("127.0.0.1", server.port), timeout=HANG_SECONDS)) as connection:
        connection.sendall(head + sent)
        connection.shutdown(SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer
    message = json.loads(answer.partition(b"\r\n\r\n")[2])["message"]
    is_framed = b"no chunk" not in sent
    assert message.endswith("is incomplete." if is_framed else "are not valid.")
    with psycopg.connect(server.database) as database:
        query = "SELECT count(*) FROM csp_group WHERE blocked_source LIKE '%broken.example.com%'"
        assert database.execute(query).fetchone() == (0,)
