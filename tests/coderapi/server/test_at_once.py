"""Cached documents: responses that the event loop sends at once equal those of Django."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse

from kernel import memory
from kernel.http.asking import Asking
from kernel.http.exchange import Site
from kernel.http.responses import Answer, headers_of
from tests.support.api.client import APIClient
from tests.support.api.paths import API, DOCUMENTS, NEVER_EQUAL, full
from tests.support.concurrency import await_announcements
from tests.support.factories import make_key, make_user
from tests.support.servers.front import answered, request_to, site
from tests.support.servers.serving import serving, until_the_end

pytestmark = pytest.mark.usefixtures("connected", "same_minute")

CONFIG = f"{API}/deployment/config"
CONDITIONS: list[dict[str, str]] = [
    {},
    {"Accept-Encoding": "gzip"},
    {"Coderapi-Wire-Format": "coderd"},
    {"If-None-Match": "*"},
    {"Origin": "https://elsewhere.example"},
    {"Coderapi-Wire-Format": "none"},
]


def never(_environ: Any, _start_response: Any) -> list[bytes]:
    raise AssertionError("Django got the request")


@pytest.fixture
def front() -> Iterator[Site]:
    found, stop = site(never)
    yield found
    stop()


@pytest.fixture
def client() -> APIClient:
    """The client of an owner, after stats were collected."""
    call_command("collect_deployment_stats")
    made = APIClient(token=make_key(make_user("owner")).token)
    await_announcements()
    return made


def at_once(asking: Asking[Answer]) -> Answer | None:
    """Returns the response if nothing is asked."""
    try:
        _ = asking.send(None)
    except StopIteration as end:
        found: Answer = end.value
        return found
    asking.close()
    return None


def comparable(answer: Answer | HttpResponse, *, is_head: bool) -> tuple[int, Any, bytes]:
    if isinstance(answer, Answer):
        status, headers, body = answer.status, headers_of(answer.lines), answer.body
    else:
        status, headers, body = answer.status_code, dict(answer.headers), answer.content
    named = {name.lower(): text for name, text in headers.items()}
    kept = {name: text for name, text in named.items() if name not in NEVER_EQUAL}
    return status, kept, b"" if is_head else body


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", DOCUMENTS)
def test_cached_document_is_the_same_at_once_and_by_django(
    front: Site, client: APIClient, path: str, method: str
) -> None:
    for condition in CONDITIONS:
        # Django caches the document, in the form that the client asks for.
        by_django: Any = client.generic(method, full(path), headers=condition)
        request = request_to(full(path), method=method, token=client.token, headers=condition)
        found = at_once(front.exchange(request))
        assert found, condition
        wanted = comparable(by_django, is_head=method == "HEAD")
        assert comparable(found, is_head=method == "HEAD") == wanted, condition


@pytest.mark.parametrize("is_cached", [True, False])
def test_document_is_compressed_first_in_a_thread(
    front: Site, client: APIClient, monkeypatch: pytest.MonkeyPatch, is_cached: bool
) -> None:
    found: list[str] = []
    compress = gzip.compress

    def compressed(*arguments: Any, **more: Any) -> bytes:
        found.append(threading.current_thread().name)
        return compress(*arguments, **more)

    client.get(CONFIG)
    if is_cached:
        client.get(CONFIG, headers={"Accept-Encoding": "gzip"})
    monkeypatch.setattr(gzip, "compress", compressed)
    head = f"GET {CONFIG} HTTP/1.1\r\nHost: testserver\r\nCoder-Session-Token: {client.token}\r\n"
    head += "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    with serving(front) as server:
        for _ in range(2):
            answer = until_the_end(server.connect(head.encode()))
            assert b"\r\nContent-Encoding: gzip\r\n" in answer
    assert found == ([] if is_cached else ["web_0"])


def remaining(headers: Any) -> int:
    return int(headers["X-RateLimit-Remaining"])


def test_request_that_asks_counts_once(front: Site, client: APIClient) -> None:
    first = remaining(client.get(CONFIG).headers)
    asks = request_to(CONFIG, token=client.token, headers={"Accept-Encoding": "gzip"})
    # The document is not compressed yet.
    answer = answered(front, asks)
    assert (answer.status, headers_of(answer.lines)["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(answer.body)
    last = at_once(front.exchange(request_to(CONFIG, token=client.token)))
    assert last
    assert remaining(headers_of(last.lines)) == first - 2


@pytest.mark.parametrize(
    ("more", "forgets"),
    [
        ({"method": "POST"}, False),
        ({"path": f"{API}/users/me"}, False),
        ({"token": ""}, False),
        ({}, True),
    ],
)
def test_other_requests_ask(
    front: Site, client: APIClient, more: dict[str, str], forgets: bool
) -> None:
    client.get(CONFIG)
    if forgets:
        memory.clear_all()
    asks = request_to(**{"path": CONFIG, "token": client.token, **more})  # type: ignore[arg-type]
    assert at_once(front.exchange(asks)) is None
