"""The threads of an event loop, whose callers take turns: responses, and functions that block."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import django.db
import psycopg
import pytest
from django.core.exceptions import BadRequest
from django.http import HttpResponse

from kernel.futures import Pool
from kernel.http.errors import APIError
from kernel.http.responses import Answer
from kernel.http.threads import Threads
from tests.support.api.asking import ask, ask_in_loop
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
        start_response("200 OK", [("A", "b"), ("Set-Cookie", "c=d"), ("Set-Cookie", "e=f")])
        return body

    return answer


@pytest.fixture
def started() -> Iterator[Callable[[Any], Threads]]:
    """Starts one thread for an application. It ends with the test."""
    found: list[Threads] = []

    def start(app: Any) -> Threads:
        found.append(Threads(app, 1))
        return found[-1]

    yield start
    for each in found:
        each.stop()


type Start = Callable[[Any], Threads]


def respond(threads: Threads) -> Answer:
    return ask_in_loop(threads.respond({}, "", "1-2"))


@pytest.mark.parametrize("body", [[b"whole"], [b"who", b"le"], []])
def test_whole_response_has_its_length(started: Start, body: list[bytes]) -> None:
    answer = respond(started(application(body)))
    length = str(sum(map(len, body)))
    assert answer.status == 200
    lines = f"A: b\r\nSet-Cookie: c=d\r\nSet-Cookie: e=f\r\nContent-Length: {length}\r\n"
    assert answer.lines == lines.encode()
    assert answer.body == b"".join(body)
    assert answer.pieces is None


def test_response_of_django_is_closed_at_once(started: Start) -> None:
    response, closed = HttpResponse(b"ok"), threading.Event()
    response._resource_closers.append(closed.set)  # type: ignore[attr-defined]
    answer = respond(started(application(response)))
    assert (answer.body, answer.pieces, closed.is_set()) == (b"ok", None, True)


def occupied(submit: Callable[[Callable[[], None]], object]) -> threading.Event:
    """Occupies the only thread until the event is set."""
    begun, free = threading.Event(), threading.Event()

    def occupy() -> None:
        begun.set()
        free.wait(DEADLINE_SECONDS)

    submit(occupy)
    assert begun.wait(DEADLINE_SECONDS)
    return free


def test_canceled_job_that_waits_for_its_turn_keeps_nothing(started: Start) -> None:
    """Clients that disconnect would otherwise fill the memory with their bodies."""
    threads, body = started(application([])), Body(0)
    free = occupied(lambda occupy: threads.submit(occupy, "", ""))
    job, found = threads.submit(partial(next, body, None), "", ""), weakref.ref(body)
    del body
    assert found()
    assert job.cancel()
    assert found() is None
    free.set()


def test_slow_reader_of_a_stream_occupies_no_thread(started: Start) -> None:
    """While the client does not read, the only thread is free, and one piece is in memory."""
    body = Body(pieces=3)
    threads = started(application(body))
    pieces = respond(threads).pieces
    assert pieces
    for left in (2, 1, 0):
        assert pieces.next().result(DEADLINE_SECONDS) == b"x"
        assert threads.submit(lambda: "free", "", "").result(DEADLINE_SECONDS) == "free"
        assert body.left == left
    assert pieces.next().result(DEADLINE_SECONDS) is None
    assert not body.closed_in
    pieces.close(3, is_whole=True)
    wait_for(lambda: body.closed_in)
    assert body.closed_in != threading.main_thread()


def test_response_is_closed_in_a_thread_if_the_client_goes_while_it_is_made(
    started: Start,
) -> None:
    body, begun, free = Body(pieces=3), threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> Any:
        begun.set()
        free.wait(DEADLINE_SECONDS)
        return application(body)(environ, start_response)

    async def go() -> None:
        running = asyncio.create_task(ask(started(slow).respond({}, "", "")))
        await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        free.set()

    asyncio.run(go())
    wait_for(lambda: body.closed_in)


@pytest.mark.django_db
def test_error_of_the_database_is_converted_in_the_thread(started: Start) -> None:
    def fail() -> None:
        raise django.db.OperationalError from psycopg.OperationalError("gone")

    with pytest.raises(APIError) as caught:
        started(application([b""])).submit(fail, "", "").result(DEADLINE_SECONDS)
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("secret"), 500), (BadRequest("no"), 400)]
)
def test_error_outside_of_the_middleware_is_a_response(
    started: Start, caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    def answer(environ: Any, start_response: Any) -> Any:
        raise error

    found = respond(started(answer))
    assert found.status == status
    assert b"secret" not in found.body
    assert ("1-2" in found.body.decode()) == ("secret" in caplog.text) == (status == 500)


@pytest.fixture
def pool() -> Iterator[Pool]:
    found = Pool(1, name="tested")
    yield found
    found.stop()


@pytest.fixture
def free(pool: Pool) -> threading.Event:
    """Occupies the only thread until the event is set."""
    return occupied(lambda occupy: pool.submit("a", occupy))


def test_callers_take_turns(pool: Pool, free: threading.Event) -> None:
    seen: list[str] = []
    names = ("a", "a", "a", "b", "c", "b")
    futures = [pool.submit(name, partial(seen.append, name)) for name in names]
    free.set()
    for future in futures:
        future.result(DEADLINE_SECONDS)
    assert seen == ["a", "b", "c", "a", "b", "a"]


def test_canceled_job_is_not_run_and_errors_are_raised_by_the_future(
    pool: Pool, free: threading.Event
) -> None:
    seen: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    assert pool.submit("a", lambda: seen.append(1)).cancel()
    failing, last = pool.submit("a", fail), pool.submit("a", lambda: seen.append(2))
    free.set()
    with pytest.raises(ValueError, match="no"):
        failing.result(DEADLINE_SECONDS)
    last.result(DEADLINE_SECONDS)
    assert seen == [2]


def test_stopped_pool_runs_what_waits_and_takes_nothing_more(
    pool: Pool, free: threading.Event
) -> None:
    waiting = pool.submit("a", lambda: 1)
    pool.stop()
    free.set()
    assert waiting.result(DEADLINE_SECONDS) == 1
    with pytest.raises(RuntimeError):
        pool.submit("a", lambda: 1)
    wait_for(lambda: not any(t.name.startswith("tested") for t in threading.enumerate()))
