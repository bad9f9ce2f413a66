"""Request bodies: their size, their deadline, and how many bytes of them a process holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import SHUT_WR, create_connection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coderapi.server.chunks import Chunked
from coderapi.server.limits import Limits
from kernel.http.asking import run
from kernel.http.body import Body
from kernel.http.errors import APIError
from tests.support.databases.tables import query
from tests.support.processes import HANG_SECONDS
from tests.support.servers.live import Server, send, server_fixture
from tests.support.servers.proxies import Proxy, needs_nginx
from tests.support.servers.serving import stalled

LOGIN, REPORTS = "/api/v2/users/login", "/api/v2/csp/reports"


def body_of(*pieces: bytes, cap: int) -> bytes:
    """Returns the body whose pieces arrive after it is read."""
    body: Body

    def want() -> None:
        for piece in pieces:
            body.add(piece)
        body.complete()

    body = Body(0, want)
    return run(body.read(cap))


@given(st.lists(st.binary(max_size=200_000), min_size=1, max_size=5))
def test_body_is_not_changed(pieces: list[bytes]) -> None:
    assert body_of(*pieces, cap=2_000_000) == b"".join(pieces)


server = server_fixture(
    "--web-only",
    CODER_STRICT_TRANSPORT_SECURITY="3600",
    CODERAPI_CSP_ALLOWED_SENDERS="public",
    CODER_API_RATE_LIMIT="100000",
)


def test_stalled_bodies_do_not_disturb_other_requests(server: Server) -> None:
    with stalled(server.port, addresses=["127.0.0.1"] * 600):
        assert {server.ask("/api/v2/buildinfo").status for _ in range(100)} == {200}
        # The same address can still send bodies.
        assert server.ask(LOGIN, method="POST", body=b"{}").status == 400


@needs_nginx
def test_stalled_bodies_do_not_pass_the_proxy(server: Server, tmp_path: Path) -> None:
    with (
        Proxy(tmp_path, server.port).running() as proxy,
        stalled(proxy.http_port, addresses=["127.0.0.1"] * 130),
    ):
        assert {send(proxy.http_port, "/api/v2/buildinfo").status for _ in range(100)} == {200}
        assert server.ask(LOGIN, method="POST", body=b"{}").status == 400


@pytest.mark.parametrize("path", [REPORTS, f"/{REPORTS}", f"//{REPORTS}"])
def test_repeated_slashes_do_not_avoid_the_cap_of_a_path(server: Server, path: str) -> None:
    answer = server.ask(path, method="POST", body=b"x" * (2 << 20))
    assert answer.status == 413
    assert answer.json["detail"] == "The limit is 1048576 bytes."


@pytest.mark.parametrize(("body", "status"), [(b"{}", 400), (b"x" * 5_000_000, 413)])
def test_refusal_of_a_body_has_the_headers_of_all_answers(
    server: Server, body: bytes, status: int
) -> None:
    answer = server.ask(LOGIN, method="POST", body=body)
    assert answer.status == status
    assert {name.lower() for name in answer.headers} >= {
        *("x-coder-build-version", "x-coder-request-id"),
        *("x-content-type-options", "strict-transport-security"),
    }


def framed(content: bytes) -> tuple[Body, bytes]:
    return Body(len(content), lambda: None), content


def in_chunks(content: bytes) -> tuple[Body, bytes]:
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in content)
    return Chunked(lambda: None, Limits()), pieces + b"0\r\n\r\n"


def read_after(early: bytes, body: Body, late: bytes, *, cap: int) -> bytes | int:
    """Returns the body, or the status of the error. Its parts arrive before and during the read."""
    body.take(early)
    reading = body.read(cap)
    try:
        _ = reading.send(None)
        body.take(late)
        _ = reading.send(None)
    except StopIteration as end:
        return bytes(end.value)
    except APIError as error:
        return error.status
    raise AssertionError


@pytest.mark.parametrize("made", [framed, in_chunks])
@pytest.mark.parametrize("early", [0, 4, 1000])
def test_body_may_have_as_many_bytes_as_its_cap(
    made: Callable[[bytes], tuple[Body, bytes]], early: int
) -> None:
    for content in (b"a" * 5, b"a" * 6):
        body, sent = made(content)
        found = read_after(sent[:early], body, sent[early:], cap=5)
        assert found == (content if len(content) == 5 else 413)


REPORT = b'{"csp-report": {"blocked-uri": "https://broken.example.com/x.js"}}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        *(CHUNKED, CHUNKED + b"3", CHUNKED + b"20\r\n" + REPORT[:9]),
        *(
            CHUNKED + b"%x\r\n%b\r\n" % (len(REPORT), REPORT) + end
            for end in (b"", b"no chunk\r\n")
        ),
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
    stored = "SELECT count(*) FROM csp_group WHERE blocked_source LIKE '%broken.example.com%'"
    assert query(server.database, stored) == [(0,)]
