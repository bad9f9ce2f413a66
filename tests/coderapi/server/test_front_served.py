"""A site behind real connections: bodies, clients that go, and the lines of the access log."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from prometheus_client import REGISTRY

from coderapi.server.limits import Limits
from kernel.http.exchange import Site
from kernel.telemetry.access import AccessLog
from tests.support.processes import DEADLINE_SECONDS, wait_for
from tests.support.servers.front import site
from tests.support.servers.serving import Serving, serving, until_the_end

LOGIN = "/api/v2/users/login"
# As in the access log of nginx.
CLIENT_GONE = 499
SIZE = 20


class Django:
    """A WSGI application. It responds when the test allows it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.paths.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/crash":
            raise ValueError("secret")
        self.may_answer.wait(DEADLINE_SECONDS)
        start_response("200 OK", [("X-Coder-Request-Id", "1-2")])
        return [b"%d" % len(environ["wsgi.input"].read())]


class Served:
    """The site with one thread, its server and its access log."""

    def __init__(self, server: Serving, django: Django, found: Site, path: Path) -> None:
        self.connect, self.clients = server.connect, server.clients
        self.django, self._site, self._path = django, found, path

    def lines(self) -> list[dict[str, Any]]:
        assert self._site.log
        self._site.log.write()
        written = self._path.read_text() if self._path.exists() else ""
        return [json.loads(line) for line in written.splitlines()]

    @property
    def queues(self) -> Any:
        return self._site.threads._pool._queues

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Occupies the only thread in the block."""
        begun, free = threading.Event(), threading.Event()

        def occupy() -> None:
            begun.set()
            free.wait(DEADLINE_SECONDS)

        self._site.threads.submit(occupy, "another", "")
        assert begun.wait(DEADLINE_SECONDS)
        try:
            yield
        finally:
            free.set()


type Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server with limits."""
    with ExitStack() as stack:

        def begin(**limits: Any) -> Served:
            django, path = Django(), tmp_path / "log"
            found, stop = site(django, log=AccessLog(str(path), "json"), counts=True)
            stack.callback(stop)
            server = stack.enter_context(serving(found, **limits))
            stack.callback(django.may_answer.set)
            return Served(server, django, found, path)

        yield begin


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n\r\n".encode()


def post(length: int) -> bytes:
    """Returns the head of a request with a body of this length."""
    head = f"POST {LOGIN} HTTP/1.1\r\nHost: testserver\r\nConnection: close\r\n"
    return f"{head}Content-Length: {length}\r\n\r\n".encode()


def status(answer: bytes) -> int:
    assert answer.count(b"\r\nDate: ") == 1
    return int(answer.split()[1])


def held(served: Served) -> int:
    return served.clients.held.total()


@contextmanager
def incomplete(served: Served, address: str = "127.0.0.1") -> Iterator[socket]:
    """Sends half of a body, and waits until the server has read it."""
    before = held(served)
    with closing(served.connect(post(SIZE) + bytes(SIZE // 2), address)) as client:
        wait_for(lambda: held(served) == before + len(post(SIZE)) + SIZE // 2)
        yield client


def whole(served: Served, address: str = "127.0.0.1") -> int:
    """Returns the status for a whole body from the address."""
    return status(until_the_end(served.connect(post(SIZE) + bytes(SIZE), address)))


def test_bytes_of_bodies_are_limited_by_address_and_in_all(serve: Serve) -> None:
    of_one = len(post(SIZE)) + SIZE
    served = serve(
        held_bytes_of_address=of_one * 1.9,
        held_bytes=of_one * 2.4,
        free_bytes=0,
        body_seconds=DEADLINE_SECONDS,
    )
    with incomplete(served) as first:
        assert whole(served) == 429
        assert whole(served, "127.0.0.2") == 200
        with incomplete(served, "127.0.0.2"):
            assert whole(served, "127.0.0.3") == 503
        # Its bytes are free again, because its client has gone.
        wait_for(lambda: len(served.clients.held) == 1)
        assert whole(served, "127.0.0.3") == 200
        first.sendall(bytes(SIZE // 2))
        assert until_the_end(first).endswith(b"\r\n\r\n%d" % SIZE)
    wait_for(lambda: held(served) == 0)
    assert whole(served) == 200


def test_body_that_drips_ends_at_the_deadline(serve: Serve) -> None:
    """Its bytes arrive one by one, and the deadline does not move with them."""
    assert Limits().body_seconds == 10
    with closing(serve(body_seconds=0.3).connect(post(1 << 20))) as client:
        client.setblocking(False)

        def answer() -> bytes:
            try:
                return client.recv(4096)
            except BlockingIOError:
                client.send(b"a")
                return b""

        assert wait_for(answer).startswith(b"HTTP/1.1 408 ")


def test_request_is_not_run_if_its_client_goes_while_it_waits_for_a_thread(
    served: Served,
) -> None:
    with served.occupied():
        client = served.connect(get("/waits"))
        wait_for(lambda: served.queues)
        client.close()
        wait_for(lambda: not served.clients.open)
        assert_gone(served, "/waits")
    # The requests of a caller have an order.
    assert status(until_the_end(served.connect(get("/next")))) == 200
    assert served.django.paths == ["/next"]


def assert_gone(served: Served, path: str) -> None:
    [line] = wait_for(served.lines)
    assert (line["path"], line["status"], line["bytes"]) == (path, CLIENT_GONE, 0)


def test_request_is_finished_and_logged_if_its_client_goes_while_it_runs(served: Served) -> None:
    served.django.may_answer.clear()
    client = served.connect(get("/runs"))
    wait_for(lambda: served.django.paths)
    client.close()
    assert_gone(served, "/runs")
    served.django.may_answer.set()
    assert status(until_the_end(served.connect(get("/next")))) == 200


def test_body_of_a_rejected_request_is_not_kept_in_memory(served: Served) -> None:
    with closing(served.connect(post(40_000_000) + bytes(50_000))) as client:
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
        client.sendall(bytes(50_000))
        wait_for(lambda: served.clients.open and not held(served))


@pytest.mark.parametrize(
    ("expected", "sent", "limits"),
    [
        (200, post(2) + b"{}", {}),
        (408, post(5) + b"{}", {"body_seconds": 0.01}),
        (413, post(40_000_000), {}),
        (429, post(3) + b"{}", {"held_bytes_of_address": 1}),
        (503, post(3) + b"{}", {"free_bytes": 0, "held_bytes": 1}),
        (500, get("/crash"), {}),
    ],
)
def test_refusals_of_bodies_and_crashes_are_logged(
    serve: Serve, expected: int, sent: bytes, limits: dict[str, Any]
) -> None:
    served, (method, path) = serve(**limits), sent.decode().split()[:2]
    answer = until_the_end(served.connect(sent))
    assert status(answer) == expected
    [line] = wait_for(served.lines)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert (line["status"], line["method"], line["path"]) == (expected, method, path)
    assert (line["client"], line["bytes"]) == ("127.0.0.1", len(content))
    assert f"x-coder-request-id: {line['request_id']}".encode() in head.lower()
    assert served.django.paths == ([path] if expected in {200, 500} else [])


@pytest.mark.parametrize(
    ("expected", "sent", "request_line"),
    [
        (400, b"GET /a HTTP/1.1\r\n\r\n", ("GET", "/a")),
        *((400, sent, ("", "")) for sent in (b"nonsense\r\n\r\n", b"\x16\x03\x01\r\n")),
        (414, b"GET /a?" + b"b" * 9000 + b" HTTP/1.1\r\n", ("GET", "/a")),
        (431, b"PUT /%20 HTTP/1.1\r\n" + b"a: b\r\n" * 102, ("PUT", "/%20")),
        (501, get("/a")[:-2] + b"Transfer-Encoding: gzip\r\n\r\n", ("GET", "/a")),
        (505, get("/a").replace(b"HTTP/1.1", b"HTTP/2.0"), ("GET", "/a")),
    ],
)
def test_refusals_of_heads_are_logged_and_counted(
    served: Served, expected: int, sent: bytes, request_line: tuple[str, str]
) -> None:
    """Also after another request of the same connection."""
    counted = count_of(expected, request_line[0] or "other")
    before = get("/before").replace(b"close", b"keep-alive")
    with closing(served.connect(before)) as client:
        assert b" 200 OK" in client.recv(1 << 16)
        client.sendall(sent)
        answer = until_the_end(client)
    assert status(answer) == expected
    [_, line] = wait_for(lambda: served.lines()[1:] and served.lines())
    assert (line["status"], line["client"]) == (expected, "127.0.0.1")
    assert (line["method"], line["path"]) == request_line
    assert line["protocol"] == ("HTTP/2.0" if expected == 505 else "HTTP/1.1")
    assert f"Request-Id: {line['request_id']}".encode() in answer
    assert b"connection: close\r\n" in answer
    assert b'"message"' in answer
    assert line["bytes"] == len(answer.partition(b"\r\n\r\n")[2])
    assert count_of(expected, request_line[0] or "other") == counted + 1


def count_of(status: int, method: str) -> float:
    labels = {"operation": "unknown", "wire_format": "documented"}
    labels |= {"status": str(status), "method": method}
    return REGISTRY.get_sample_value("coderapi_http_requests_total", labels) or 0.0
