"""The threads of an event loop: responses of a WSGI application, and functions that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import django.db
import psycopg
import pytest
from django.core.exceptions import BadRequest

from kernel.http.errors import APIError
from kernel.http.threads import Threads
from tests.support.processes import DEADLINE_SECONDS, wait_for


class Body:
    """A streamed body. Records when it is closed, and in which thread."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.closed_in: threading.Thread | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return b"x"

    def close(self) -> None:
        self.closed_in = threading.current_thread()


def application(body: Any) -> Any:
    def answer(environ: Any, start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("A", "b")])
        return body

    return answer


@pytest.fixture
def sent() -> list[Any]:
    return []


def respond(threads: Threads, send: Any) -> None:
    asyncio.run(threads.respond({}, send))


@pytest.mark.parametrize("body", [[b"whole"], [b"who", b"le"], []])
def test_whole_response_is_sent_at_once(body: list[bytes], sent: list[Any]) -> None:
    async def send(event: Any) -> None:
        sent.append(event)

    threads = Threads(application(body), 1)
    respond(threads, send)
    threads.stop()
    head, rest = sent
    length = str(sum(map(len, body))).encode()
    assert (head["status"], head["headers"]) == (200, [(b"A", b"b"), (b"Content-Length", length)])
    assert rest["body"] == b"".join(body)


def test_slow_reader_of_a_stream_occupies_no_thread() -> None:
    """While the client does not read, the only thread is free, and one piece is in memory."""
    body = Body(pieces=3)
    threads = Threads(application(body), 1)

    async def send(event: Any) -> None:
        if event.get("body"):
            assert await threads.run(lambda: "free") == "free"
            assert body.left == 2 - seen.count(b"x")
            seen.append(event["body"])

    seen: list[bytes] = []
    respond(threads, send)
    threads.stop()
    assert seen == [b"x", b"x", b"x"]
    wait_for(lambda: body.closed_in)


def test_response_is_closed_in_a_thread_if_the_client_has_gone() -> None:
    body = Body(pieces=3)
    threads = Threads(application(body), 1)

    async def send(event: Any) -> None:
        if event.get("body"):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        respond(threads, send)
    threads.stop()
    wait_for(lambda: body.closed_in)
    assert body.closed_in != threading.main_thread()


def test_request_of_a_client_that_has_gone_is_not_started() -> None:
    free, begun, started = threading.Event(), threading.Event(), []

    def answer(environ: Any, start_response: Any) -> Any:
        started.append(environ)
        return application([b""])(environ, start_response)

    def occupy() -> None:
        begun.set()
        free.wait(DEADLINE_SECONDS)

    async def send(event: Any) -> None:
        pass

    async def go() -> None:
        busy = asyncio.create_task(threads.run(occupy))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        gone = asyncio.create_task(threads.respond({}, send))
        while not threads._pool._queues:
            await asyncio.sleep(0.001)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        free.set()
        await busy

    threads = Threads(answer, 1)
    asyncio.run(go())
    threads.stop()
    assert started == []


@pytest.mark.django_db
def test_error_of_the_database_is_converted_in_the_thread() -> None:
    def fail() -> None:
        raise django.db.OperationalError from psycopg.OperationalError("gone")

    threads = Threads(application([b""]), 1)
    with pytest.raises(APIError) as caught:
        asyncio.run(threads.run(fail))
    threads.stop()
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("secret"), 500), (BadRequest("no"), 400)]
)
def test_error_outside_of_the_middleware_is_a_response(
    sent: list[Any], caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    def answer(environ: Any, start_response: Any) -> Any:
        raise error

    async def send(event: Any) -> None:
        sent.append(event)

    threads = Threads(answer, 1)
    respond(threads, send)
    threads.stop()
    head, rest = sent
    assert head["status"] == status
    assert dict(head["headers"])[b"X-Coder-Request-Id"]
    assert b"secret" not in rest["body"]
    assert ("secret" in caplog.text) == (status == 500)
    wait_for(lambda: not any(t.name.startswith("web") for t in threading.enumerate()))
