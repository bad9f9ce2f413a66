"""Request bodies: their size, their deadline, and how many of them a process reads at a time."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from select import select
from socket import SHUT_WR, create_connection, socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.http.body import SWALLOWED_BYTES, bounded, readers, receive
from kernel.http.errors import APIError
from tests.support.body_server import CAP, MAX_READERS
from tests.support.live import Server, own_server
from tests.support.processes import PROJECT, free_port, wait_for
from tests.support.proxies import Proxy, needs_nginx

READERS = readers(4)


def ask_app(environ: dict[str, Any], *, cap: int = CAP) -> tuple[int, bytes]:
    """Sends a body to an application that echoes it. Returns the status and body of the answer."""
    statuses: list[str] = []

    def echo(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    app = bounded(echo, readers=READERS, caps={"/": cap}, address_of=lambda _: "", headers=dict)
    answer = app({"PATH_INFO": "/", **environ}, lambda status, _headers: statuses.append(status))  # type: ignore[arg-type]
    return int(statuses[0][:3]), b"".join(answer)


# --- Against a stream in memory ---------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "//", "///"])
def test_repeated_slashes_do_not_avoid_the_cap_of_a_path(path: str) -> None:
    environ = {"PATH_INFO": path, "CONTENT_LENGTH": str(CAP + 1)}
    status, _ = ask_app({**environ, "wsgi.input": io.BytesIO(b"x" * (CAP + 1))})
    assert status == 413


@given(body=st.binary(min_size=1, max_size=200_000), chunked=st.booleans())
def test_body_is_not_changed(body: bytes, chunked: bool) -> None:
    framing = (
        {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": str(len(body))}
    )
    environ = {**framing, "wsgi.input": io.BytesIO(body)}
    assert ask_app(environ, cap=200_000) == (200, body)


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (str(CAP + 1), 413),
        ("9" * 5000, 413),
        ("-1", 400),
        ("+3", 400),
        ("3, 3", 400),
        ("0x10", 400),
        ("٣", 400),
        ("5", 400),
    ],
)
def test_wrong_length_is_refused(length: str, status: int) -> None:
    environ = {"CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"abc")}
    assert ask_app(environ)[0] == status


@pytest.mark.parametrize(
    ("environ", "read"),
    [
        ({"CONTENT_LENGTH": str(CAP + 1), "HTTP_EXPECT": "100-continue"}, 0),
        ({"CONTENT_LENGTH": str(SWALLOWED_BYTES + 1)}, 0),
        ({"CONTENT_LENGTH": str(CAP + 1)}, CAP + 1),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, CAP + 1),
    ],
)
def test_refused_body_is_read_only_if_the_client_sends_it_anyway(
    environ: dict[str, Any], read: int
) -> None:
    stream = io.BytesIO(b"x" * (CAP + 1))
    assert ask_app({**environ, "wsgi.input": stream})[0] == 413
    assert stream.tell() == read


@pytest.mark.parametrize("size", [CAP - 1, CAP])
def test_chunked_body_may_be_as_large_as_the_cap(size: int) -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"x" * size)}
    assert ask_app(environ) == (200, b"x" * size)


def test_body_after_its_deadline_is_408() -> None:
    with pytest.raises(APIError, match="in time") as caught:
        receive(io.BytesIO(b"abc"), 3, cap=CAP, deadline=time.monotonic() - 1)
    assert caught.value.status == 408


# --- Under the real HTTP server ---------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """Starts `tests.support.body_server`, and yields its port."""
    port = free_port()
    with ExitStack() as running:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.body_server", str(port)],
            stdin=subprocess.PIPE,
            cwd=PROJECT,
            start_new_session=True,
        )
        running.callback(process.communicate)
        wait_for(lambda: answers(port))
        yield port


def answers(port: int) -> bool:
    try:
        return ask(port).status == 200
    except OSError:
        return False


def ask(port: int, body: Any = None, *, client: str = "good", **more: Any) -> HTTPResponse:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        headers = {"X-Client": client}
        connection.request("POST" if body else "GET", "/", body=body, headers=headers, **more)
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
    return response


def text(response: Any) -> str:
    return str(response.text)


def stall(port: int, *, client: str = "slow", path: str = "/") -> socket:
    """Opens a connection, and sends a request with an incomplete body."""
    connection = create_connection(("127.0.0.1", port), timeout=60)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Client: {client}\r\nContent-Length: 500\r\n\r\na"
    connection.sendall(head.encode())
    return connection


@contextmanager
def stalled(port: int, *clients: str, path: str = "/") -> Iterator[list[socket]]:
    with ExitStack() as attack:
        yield [
            attack.enter_context(closing(stall(port, client=client, path=path)))
            for client in clients
        ]


def test_every_kind_of_body_through_the_real_server(port: int) -> None:
    assert text(ask(port, b"hello")).endswith(" 5 hello")
    assert text(ask(port, iter([b"chu", b"nked"]), encode_chunked=True)).endswith(" 7 chunked")
    for too_large in (b"x" * (CAP + 1), iter([b"x" * 600] * 2), b"x" * 5_000_000):
        response = ask(port, too_large)
        assert response.status == 413
        assert json.loads(text(response)) == {
            "message": "The request body is too large.",
            "detail": f"The limit is {CAP} bytes.",
        }
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["X-Served-By"] == "v1"


def test_an_address_with_slow_bodies_is_refused_and_others_are_not(port: int) -> None:
    with stalled(port, *["slow"] * (MAX_READERS // 4)):
        wait_for(lambda: ask(port, b"hello", client="slow").status == 429)
        refused = ask(port, b"hello", client="slow")
        assert refused.headers["Retry-After"] == "5"
        assert text(ask(port, b"hello")).endswith(" 5 hello")
        assert ask(port, client="slow").status == 200
    wait_for(lambda: ask(port, b"hello", client="slow").status == 200)


def test_three_addresses_never_have_all_readers(port: int) -> None:
    # The limit holds before any of the bodies counts as slow.
    slow = [f"slow-{number % 3}" for number in range(3 * MAX_READERS)]
    with stalled(port, *slow) as connections:
        assert refusals(connections, 3 * MAX_READERS * 3 // 4) == {b"429"}
        assert text(ask(port, b"hello")).endswith(" 5 hello")


def test_threads_that_read_no_body_always_answer(port: int) -> None:
    # When all readers are blocked for a while, another process replaces this one.
    before = text(ask(port)).split()[0]
    with stalled(port, *(f"slow-{number}" for number in range(2 * MAX_READERS))) as connections:
        assert refusals(connections, MAX_READERS) == {b"503"}
        assert text(ask(port)).endswith(" None ")
        assert text(wait_for(lambda: accepted(port))).split()[0] != before


def refusals(connections: list[socket], number: int) -> set[bytes]:
    """Waits for this number of answers, and returns their statuses."""

    def answered() -> list[socket]:
        readable = select(connections, [], [], 0)[0]
        return readable if len(readable) >= number else []

    return {connection.recv(4096).split()[1] for connection in wait_for(answered)}


def accepted(port: int) -> HTTPResponse | None:
    with suppress(OSError, HTTPException):
        answer = ask(port, b"hello")
        return answer if answer.status == 200 else None
    return None


# --- Under attack -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    hsts = {"CODER_STRICT_TRANSPORT_SECURITY": "3600"}
    with own_server("--web-only", log=log, **hsts) as server:
        yield server


def test_stalled_bodies_do_not_block_documents(server: Server) -> None:
    with stalled(server.port, *["slow"] * 600, path="/api/v2/users/login"):
        assert {server.ask("/api/v2/buildinfo").status for _ in range(100)} == {200}


@needs_nginx
def test_stalled_bodies_do_not_pass_the_proxy(server: Server, tmp_path: Path) -> None:
    def ask_through(proxy: Proxy) -> int:
        with closing(HTTPConnection("127.0.0.1", proxy.http_port, timeout=30)) as connection:
            connection.request("GET", "/api/v2/buildinfo")
            return connection.getresponse().status

    with (
        Proxy(tmp_path, server.port).running() as proxy,
        stalled(proxy.http_port, *["slow"] * 130, path="/api/v2/users/login"),
    ):
        assert {ask_through(proxy) for _ in range(100)} == {200}
        assert server.ask("/api/v2/users/login", method="POST", body=b"{}").status == 400


def test_refusal_of_a_body_has_the_headers_of_all_answers(server: Server) -> None:
    always = {
        *("x-coder-build-version", "x-coder-request-id"),
        *("x-content-type-options", "strict-transport-security"),
    }
    for body in (b"{}", b"x" * 5_000_000):
        answer = server.ask("/api/v2/users/login", method="POST", body=body)
        assert answer.status == (400 if len(body) == 2 else 413)
        assert always <= {name.lower() for name in answer.headers}


@pytest.mark.parametrize("sent", ["", "3", '20\r\n{"email": ', 'e\r\n{"email": "a"\r\n'])
def test_half_a_json_value_in_chunks_that_break_off_is_400(server: Server, sent: str) -> None:
    head = "POST /api/v2/users/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    with closing(create_connection(("127.0.0.1", server.port), timeout=30)) as connection:
        connection.sendall(f"{head}\r\n{sent}".encode())
        connection.shutdown(SHUT_WR)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
