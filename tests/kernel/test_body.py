from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.http.body import SWALLOWED_BYTES, bounded, receive
from kernel.http.errors import APIError
from kernel.http.stalled import Request, Watch
from tests.support.body_server import CAP, THREADS
from tests.support.processes import free_port, wait_for

PROJECT = Path(__file__).resolve().parents[2]


def taken(environ: dict[str, Any], *, cap: int = CAP, seconds: float = 60) -> bytes:
    return receive(environ, cap=cap, request=Request("", 0, seconds=seconds))


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


@pytest.mark.parametrize(
    ("environ", "read"),
    [
        ({"CONTENT_LENGTH": str(CAP + 1), "HTTP_EXPECT": "100-continue"}, 0),
        ({"CONTENT_LENGTH": str(SWALLOWED_BYTES + 1)}, 0),
        ({"CONTENT_LENGTH": str(CAP + 1)}, CAP + 1),
    ],
)
def test_what_is_refused_is_read_only_when_it_comes_anyway(
    environ: dict[str, Any], read: int
) -> None:
    stream = io.BytesIO(b"x" * (CAP + 1))
    assert refused({**environ, "wsgi.input": stream}).status == 413
    assert stream.tell() == read


@pytest.mark.parametrize(("size", "fits"), [(CAP - 1, True), (CAP, True), (CAP + 1, False)])
def test_a_chunked_body_is_counted(size: int, fits: bool) -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(b"x" * size)}
    if fits:
        assert len(taken(environ)) == size
    else:
        assert refused(environ).status == 413


def test_a_body_that_takes_too_long_is_given_up() -> None:
    environ = {"CONTENT_LENGTH": "3", "wsgi.input": io.BytesIO(b"abc")}
    assert refused(environ, seconds=0).status == 408


def test_a_body_that_nothing_can_end_calls_for_a_new_process_once() -> None:
    watch = Watch(seconds=10)
    calls: list[bool] = []
    watch.when_stuck = lambda: calls.append(True)
    request = watch.enter({"REMOTE_ADDR": "192.0.2.1", "SERVER_PORT": "1"})
    with request.reading():
        now = time.monotonic()
        watch.look(now + 29)
        assert calls == []
        watch.look(now + 31)
        watch.look(now + 32)
    assert calls == [True]


def test_a_request_without_a_body_is_passed_on_untouched() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ)
        return []

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    list(bounded(app, cap_for=lambda *_: 0, build_version="")(environ, lambda *_: None))  # type: ignore[arg-type]
    assert seen == [{"REQUEST_METHOD": "GET", "PATH_INFO": "/"}]


# --- Under the real HTTP server ---------------------------------------------------------------

type StartServer = Callable[..., int]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Starts the server of `tests.support.body_server` and gives its port."""
    with ExitStack() as running:

        def start() -> int:
            port = free_port()
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.body_server", str(port)],
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


def get(connection: HTTPConnection) -> int:
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    return response.status


def text(response: Any) -> str:
    return str(response.text)


def stall(port: int) -> socket.socket:
    """A connection whose request announces more than it sends."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nabc")
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
    idle = HTTPConnection("127.0.0.1", port, timeout=30)
    assert get(idle) == 200
    stalled = [stall(port) for _ in range(THREADS * 2)]
    assert text(ask(port, b"hello")).endswith(" 5 hello")
    assert all(client.recv(4096).startswith(b"HTTP/1.1 408 ") for client in stalled)
    assert get(idle) == 200
    idle.close()
    for client in stalled:
        client.close()


def test_a_body_that_trickles_in_is_answered_too(start_server: StartServer) -> None:
    port = start_server()
    client = stall(port)
    client.settimeout(0.05)
    answer = b""
    for _ in range(400):
        client.sendall(b"x")
        with suppress(TimeoutError):
            answer = client.recv(4096)
            break
    assert answer.startswith(b"HTTP/1.1 408 ")
    client.close()


def test_a_slow_answer_is_not_taken_for_a_stalled_body(start_server: StartServer) -> None:
    port = start_server()
    slow = socket.create_connection(("127.0.0.1", port), timeout=30)
    slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    stalled = stall(port)
    assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert stalled.recv(4096).startswith(b"HTTP/1.1 408 ")
    slow.close()
    stalled.close()
