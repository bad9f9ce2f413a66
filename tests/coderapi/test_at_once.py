"""Responses that the front makes without a task: cached documents.

They equal those of the front with a task, and those of Django.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest
from django.core.management import call_command
from django.http import HttpResponse

from coderapi.front import Front, routes
from kernel import memory
from kernel.http.call import from_scope
from kernel.http.responses import Answer
from kernel.http.steps import KEY
from kernel.http.threads import Threads
from kernel.telemetry.access import AccessLog
from tests.coderapi.test_protocol import serving, until_the_end
from tests.coderapi.test_sameness import API, DOCUMENTS, NEVER_EQUAL
from tests.support.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.front import scope_of
from tests.support.processes import DEADLINE_SECONDS

pytestmark = pytest.mark.usefixtures("connected", "same_minute")

CONFIG = f"{API}/deployment/config"
CONDITIONS: list[dict[str, str]] = [
    {},
    {"Accept-Encoding": "gzip"},
    {"Coder-Wire": "coderd"},
    {"If-None-Match": "*"},
    {"Origin": "https://elsewhere.example"},
    {"Coder-Wire": "none"},
]


def never(_environ: Any, _start_response: Any) -> list[bytes]:
    raise AssertionError("Django got the request")


@pytest.fixture
def threads() -> Iterator[Threads]:
    found = Threads(never, 1)
    yield found
    found.stop()


@pytest.fixture
def front(threads: Threads) -> Front:
    return Front(threads, routes("coderapi.urls"))


@pytest.fixture
def client() -> APIClient:
    """The client of an owner, after stats were collected."""
    call_command("collect_deployment_stats")
    return APIClient(token=make_key(make_user("owner")).token)


type Comparable = tuple[int, dict[str, str], bytes]


def comparable(answer: Answer | HttpResponse, *, is_head: bool) -> Comparable:
    status = answer.status if isinstance(answer, Answer) else answer.status_code
    body = answer.body if isinstance(answer, Answer) else answer.content
    return status, named(answer.headers.items()), b"" if is_head else body


def named(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers if name.lower() not in NEVER_EQUAL}


def with_task(front: Front, scope: Any) -> Comparable:
    """Returns the response of the front to a request that has a task."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("there is no body")

    async def send(event: Any) -> None:
        sent.append(event)

    asyncio.run(front(scope, receive, send))
    head, rest = sent
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head["headers"]]
    return head["status"], named(headers), b"" if scope["method"] == "HEAD" else rest["body"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", DOCUMENTS)
def test_cached_document_is_the_same_at_once_with_a_task_and_by_django(
    front: Front, client: APIClient, path: str, method: str
) -> None:
    for condition in CONDITIONS:
        # Django caches the document, in the form that the client asks for.
        by_django: Any = client.generic(method, API + path, headers=condition)
        scope = scope_of(API + path, method=method, token=client.token, **condition)
        at_once = front.answer_at_once({**scope})
        assert at_once, condition
        wanted = comparable(by_django, is_head=method == "HEAD")
        assert comparable(at_once, is_head=method == "HEAD") == wanted, condition
        assert with_task(front, scope) == wanted, condition


class Connected:
    """The front, and the paths of the requests that got a task."""

    def __init__(self, front: Front) -> None:
        self.answer_at_once = front.answer_at_once
        self._front = front
        self.paths: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        await self._front(scope, receive, send)


def request(path: str, client: APIClient, more: str = "Connection: close\r\n") -> bytes:
    token = f"Coder-Session-Token: {client.token}"
    return f"GET {path} HTTP/1.1\r\nHost: testserver\r\n{token}\r\n{more}\r\n".encode()


def ask(port: int, sent: bytes) -> bytes:
    connection = create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
    connection.sendall(sent)
    return until_the_end(connection)


def test_cached_documents_are_sent_without_a_task(front: Front, client: APIClient) -> None:
    paths = [API + path for path in DOCUMENTS]
    for path in paths:
        client.get(path)
    connected = Connected(front)
    with serving(connected) as port:
        *most, last = paths
        sent = [*(request(path, client, "") for path in most), request(last, client)]
        answers = ask(port, b"".join(sent))
    assert answers.count(b"HTTP/1.1 200 ") == len(paths)
    assert connected.paths == []


@pytest.mark.parametrize("is_cached", [True, False])
def test_document_is_compressed_first_in_a_thread(
    front: Front, client: APIClient, monkeypatch: pytest.MonkeyPatch, is_cached: bool
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
    connected = Connected(front)
    with serving(connected) as port:
        for _ in range(2):
            answer = ask(
                port, request(CONFIG, client, "Accept-Encoding: gzip\r\nConnection: close\r\n")
            )
            assert b"\r\nContent-Encoding: gzip\r\n" in answer
    assert found == ([] if is_cached else ["web_0"])
    assert connected.paths == ([] if is_cached else [CONFIG])


def remaining(headers: Any) -> int:
    return int(headers["X-RateLimit-Remaining"])


def test_request_that_is_passed_on_counts_once(front: Front, client: APIClient) -> None:
    first = remaining(client.get(CONFIG).headers)
    scope = scope_of(CONFIG, token=client.token, accept_encoding="gzip")
    # The document is not compressed yet, so the request needs a task.
    assert front.answer_at_once(scope) is None
    assert scope[KEY].call == from_scope(scope)
    status, headers, body = with_task(front, scope)
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body)
    last = front.answer_at_once(scope_of(CONFIG, token=client.token))
    assert last
    assert remaining(last.headers) == first - 2


def without_identity(client: APIClient) -> None:
    memory.clear_all()


@pytest.mark.parametrize(
    ("more", "before"),
    [
        ({"method": "POST"}, None),
        ({"path": f"{API}/users/me"}, None),
        ({"content_length": "2"}, None),
        ({"transfer_encoding": "chunked"}, None),
        ({}, without_identity),
    ],
)
def test_other_requests_need_a_task_and_are_not_counted_before(
    front: Front,
    client: APIClient,
    more: dict[str, str],
    before: Callable[[APIClient], None] | None,
) -> None:
    first = remaining(client.get(CONFIG).headers)
    if before:
        before(client)
    scope = scope_of(**{"path": CONFIG, "token": client.token, **more})
    assert front.answer_at_once(scope) is None
    assert KEY not in scope
    assert remaining(client.get(CONFIG).headers) == first - 1


def test_response_without_a_task_is_in_the_access_log(
    threads: Threads, client: APIClient, tmp_path: Path
) -> None:
    client.get(CONFIG)
    log = AccessLog(str(tmp_path / "log"), "json")
    logging = Front(threads, routes("coderapi.urls"), log)
    answer = logging.answer_at_once(scope_of(CONFIG, token=client.token))
    assert answer is not None
    log.write()
    line = json.loads((tmp_path / "log").read_text())
    assert (line["method"], line["path"]) == ("GET", CONFIG)
    assert (line["status"], line["bytes"]) == (200, len(answer.body))
    assert line["request_id"] == answer.headers["X-Coder-Request-Id"]
