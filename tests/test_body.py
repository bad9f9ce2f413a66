from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderapi.body import bounded, receive
from coderapi.body_readers import Readers
from coderapi.errors import APIError
from tests.body_server import CAP, THREADS
from tests.processes import free_port, wait_for

PROJECT = Path(__file__).resolve().parents[1]


class StalledStream:
    """Gives what it has, and then blocks until the client has left."""

    def __init__(self, begin: bytes = b"") -> None:
        self.begin = begin
        self.left = threading.Event()

    def read(self, size: int) -> bytes:
        if not self.left.wait(60):
            pytest.fail("nobody ended the stream")
        return self.begin


def taken(environ: dict[str, Any], *, cap: int = CAP, seconds: float = 20) -> bytes:
    return receive(environ, cap=cap, readers=Readers(most=4), seconds=seconds)


def refused(environ: dict[str, Any], **more: Any) -> APIError:
    with pytest.raises(APIError) as caught:
        taken(environ, **more)
    return caught.value


# --- Pure -------------------------------------------------------------------------------------


@given(body=st.binary(max_size=200_000), chunked=st.booleans())
def test_a_body_comes_as_it_was_sent(body: bytes, chunked: bool) -> None:
    said = {"HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {"CONTENT_LENGTH": str(len(body))}
    assert taken({**said, "wsgi.input": io.BytesIO(body)}, cap=200_000) == body


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
def test_a_length_that_cannot_be_right_is_refused(length: str, status: int) -> None:
    """The stream has three bytes."""
    assert refused({"CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"abc")}).status == status


def test_too_large_a_length_is_refused_before_anything_is_read() -> None:
    stream = io.BytesIO(b"x" * (CAP + 1))
    refused({"CONTENT_LENGTH": str(CAP + 1), "wsgi.input": stream})
    assert stream.tell() == 0


@pytest.mark.parametrize(("size", "fits"), [(CAP - 1, True), (CAP, True), (CAP + 1, False)])
def test_a_chunked_body_is_counted(size: int, fits: bool) -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"x" * size)}
    if fits:
        assert len(taken(environ)) == size
    else:
        assert refused(environ).status == 413


def test_a_stalled_body_is_given_up() -> None:
    stream = StalledStream()
    error = refused({"CONTENT_LENGTH": "5", "wsgi.input": stream}, seconds=0.05)
    stream.left.set()
    assert error.status == 408


def test_when_half_of_the_readers_are_held_help_is_called_once() -> None:
    readers = Readers(most=4)
    calls: list[bool] = []
    readers.when_exhausted = lambda: calls.append(True)
    streams = [StalledStream() for _ in range(3)]
    given_up = [readers.read(stream, most=5, seconds=0.05) for stream in streams]
    for stream in streams:
        stream.left.set()
    assert given_up == [None] * 3
    assert calls == [True]


def test_readers_come_back_when_the_clients_leave() -> None:
    readers = Readers(most=1)
    stream = StalledStream()
    assert readers.read(stream, most=5, seconds=0.05) is None
    assert readers.read(io.BytesIO(b"waits"), most=5, seconds=0.05) is None
    stream.left.set()
    assert readers.read(io.BytesIO(b"after"), most=5, seconds=20) == b"after"


def test_a_request_without_a_body_is_passed_on_untouched() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ)
        return []

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    list(bounded(app, cap_for=lambda *_: 0, build_version="")(environ, lambda *_: None))  # type: ignore[arg-type, return-value]
    assert seen == [{"REQUEST_METHOD": "GET", "PATH_INFO": "/"}]


# --- Under the real HTTP server ---------------------------------------------------------------

type StartServer = Callable[..., int]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts the server of `tests.body_server` and gives its port."""
    with ExitStack() as running:

        def start(*, readers: int = 64) -> int:
            port = free_port()
            process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "tests.body_server", str(port), str(readers)],
                stdin=subprocess.PIPE,
                cwd=PROJECT,
                start_new_session=True,
            )
            running.callback(process.communicate)
            wait_for(lambda: answers(port))
            return port

        yield start


def answers(port: int) -> bool:
    try:
        return ask(port).status == 200
    except OSError:
        return False


def ask(port: int, body: Any = None, **more: Any) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST" if body else "GET", "/", body=body, **more)
    response = connection.getresponse()
    response.text = response.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return response


def text(response: Any) -> str:
    return str(response.text)


def stall(port: int, begin: bytes = b"abc") -> socket.socket:
    """A connection whose request announces ten bytes and sends three."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n" + begin)
    return client


def test_every_kind_of_body_through_the_real_server(start_server: StartServer) -> None:
    port = start_server()

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
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Coder-Build-Version"] == "v1"
        assert len(response.headers["X-Coder-Request-Id"]) == 36


def test_stalled_bodies_are_answered_and_hold_up_nobody(start_server: StartServer) -> None:
    port = start_server()
    stalled = [stall(port) for _ in range(THREADS * 4)]
    assert all(client.recv(4096).startswith(b"HTTP/1.1 408 ") for client in stalled)
    # All of them stay connected, and there are fewer threads for requests than they are.
    assert text(ask(port, b"hello")).endswith(" 5 hello")
    for client in stalled:
        client.close()


def test_a_worker_whose_readers_are_held_is_replaced(start_server: StartServer) -> None:
    port = start_server(readers=4)
    first = text(ask(port)).split()[0]
    stalled = [stall(port) for _ in range(2)]
    wait_for(lambda: text(ask(port)).split()[0] != first)
    assert text(ask(port, b"hello")).endswith(" 5 hello")
    for client in stalled:
        client.close()
