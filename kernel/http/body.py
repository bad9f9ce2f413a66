"""Reads a request's whole body before the application runs: counted, capped and in time.

The server's `wsgi.input.read(n)` waits for n bytes or the end. Nothing can interrupt it, and it
holds its thread for as long as the client keeps its connection. (Another thread may not read in its
place either: the server then stops the whole process at the end of the request. Tried with granian
2.8.) So what is bounded is who may begin to read:

* At most a quarter of the server's threads read, counted from the moment they begin. Past that a
  request with a body waits a second for a place. If it waits in vain it is 503, and for a while the
  next ones are 503 at once. So others always answer.
* An address may have few slow bodies at a time; past that it is 429 at once. It has a
  quarter of the readers at most, so that it takes many addresses to have all.
* A body has a deadline, which is looked at whenever a piece has come. It is shorter the more
  threads read.
* Where all readers are taken and one has waited for a minute, the process asks to be replaced.

A proxy that buffers bodies, as the composition has one, keeps slow clients away altogether. One
thing the server does not tell: whether a chunked body ended or broke off. Half a JSON value is
refused all the same; a whole one is taken although the last chunk is missing.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from kernel.http import single_slashes
from kernel.http.errors import JSON_CONTENT_TYPE, RETRY_AFTER_UNAVAILABLE, APIError, unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

type Environ = Mapping[str, object]

MEBIBYTE = 1024 * 1024
# The cap of a path that has none of its own.
DEFAULT_CAP = 4 * MEBIBYTE
PIECE_BYTES = 64 * 1024
# So much of a body that is refused for its size is read and forgotten: a client that sends before
# it listens would find a reset connection instead of the answer.
SWALLOWED_BYTES = 32 * MEBIBYTE

DEADLINE_SECONDS = 10.0
# A body that has come whole is read within some milliseconds, on a busy machine within hundreds.
SLOW_SECONDS = 1.0
MAX_SLOW_PER_ADDRESS = 8
CROWDED_SECONDS = 2.0
STUCK_SECONDS = 60.0

log = logging.getLogger(__name__)


class Readable(Protocol):
    """A `wsgi.input`: `read(n)` gives fewer than n bytes only at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(eq=False, slots=True)
class Reader:
    """One request's body: whose it is, and since when it is read."""

    address: str
    begun: float = 0.0
    # Held while it has no place yet.
    waits: threading.Lock = field(default_factory=threading.Lock)


class Readers:
    """The requests of this process whose bodies are being read, and the bounds on them.

    `when_stuck` is called once, when all have been taken for too long; whoever starts the process
    knows how to replace it.
    """

    def __init__(
        self,
        max_readers: int,
        *,
        slow: float = SLOW_SECONDS,
        stuck: float = STUCK_SECONDS,
    ) -> None:
        self._max = max(max_readers, 1)
        # One address leaves three quarters to others. Many bodies at once are not slow yet.
        self._max_per_address = max(max_readers // 4, 1)
        self._max_slow_per_address = min(MAX_SLOW_PER_ADDRESS, self._max_per_address)
        self.when_stuck: Callable[[], None] = lambda: None
        self._slow = slow
        self._stuck = stuck
        self._lock = threading.Lock()
        # In the order in which they came.
        self._waiting: list[Reader] = []
        self._reading: list[Reader] = []
        self._by_address: Counter[str] = Counter()
        self._refused_at = float("-inf")

    @contextmanager
    def admitted(self, address: str) -> Iterator[float]:
        """Counts a reader. Yields its deadline in seconds. Raises: APIError 429, 503."""
        reader = Reader(address)
        self._admit(reader)
        seconds = DEADLINE_SECONDS * (1 - len(self._reading) / (2 * self._max))
        try:
            yield reader.begun + seconds
        finally:
            self._leave(reader)

    def _admit(self, reader: Reader) -> None:
        now = time.monotonic()
        with self._lock:
            self._refuse_slow(reader.address, now)
            if self._has_room(reader):
                self._begin(reader, now)
                return
            if now < self._refused_at + CROWDED_SECONDS:
                raise self._refusal(reader, now)
            reader.waits.acquire()
            self._waiting.append(reader)
        if not reader.waits.acquire(timeout=self._slow):
            self._give_up(reader)

    def _give_up(self, reader: Reader) -> None:
        now = time.monotonic()
        with self._lock:
            # It may have got a place after all.
            if reader in self._waiting:
                self._waiting.remove(reader)
                self._refused_at = now
                raise self._refusal(reader, now)

    def _leave(self, reader: Reader) -> None:
        with self._lock:
            self._reading.remove(reader)
            self._by_address[reader.address] -= 1
            if not self._by_address[reader.address]:
                del self._by_address[reader.address]
            following = next(filter(self._has_room, self._waiting), None)
            if following:
                self._waiting.remove(following)
                self._begin(following, time.monotonic())
                following.waits.release()

    def _begin(self, reader: Reader, now: float) -> None:
        reader.begun = now
        self._reading.append(reader)
        self._by_address[reader.address] += 1

    def _has_room(self, reader: Reader) -> bool:
        """Tells if it may begin now."""
        return len(self._reading) < self._max and not self._address_is_full(reader)

    def _address_is_full(self, reader: Reader) -> bool:
        return self._by_address[reader.address] >= self._max_per_address

    def _refuse_slow(self, address: str, now: float) -> None:
        if self._by_address[address] < self._max_slow_per_address:
            return
        slow = (r for r in self._reading if r.address == address and r.begun < now - self._slow)
        if sum(1 for _ in slow) >= self._max_slow_per_address:
            raise too_many_slow()

    def _refusal(self, reader: Reader, now: float) -> APIError:
        if self._address_is_full(reader):
            return too_many_slow()
        if now - self._reading[0].begun > self._stuck:
            log.warning("Slow request bodies take every reader; this process asks to be replaced")
            self._stuck = float("inf")
            self.when_stuck()
        return unavailable("Too many requests are slow to send their bodies.")


def bounded(
    app: WSGIApplication,
    *,
    readers: Readers,
    caps: Mapping[str, int],
    address_of: Callable[[WSGIEnvironment], str],
    headers: Callable[[], Mapping[str, str]],
) -> WSGIApplication:
    """Wraps an application, which then finds every body complete, within its cap, in memory.

    Refuses what cannot be had itself, in the one error shape. `caps` has bytes by path;
    `address_of` names the client whom a body is counted for; `headers` makes those of a refusal.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if announces_body(environ):
            cap = caps.get(single_slashes(environ.get("PATH_INFO", "")), DEFAULT_CAP)
            try:
                length = announced_length(environ)
                refuse_unread(length, environ, cap=cap)
                with readers.admitted(address_of(environ)) as deadline:
                    body = receive(environ["wsgi.input"], length, cap=cap, deadline=deadline)
            except APIError as error:
                return _refuse(error, start_response, headers=headers())
            environ["CONTENT_LENGTH"] = str(len(body))
            environ["wsgi.input"] = io.BytesIO(body)
        return app(environ, start_response)

    return answer


def announces_body(environ: Environ) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


def announced_length(environ: Environ) -> int | None:
    """Returns the Content-Length, or None for a chunked body. Raises: APIError 400."""
    text = str(environ.get("CONTENT_LENGTH", ""))
    if "HTTP_TRANSFER_ENCODING" in environ or not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise APIError(400, "The Content-Length header must be a whole number.")
    # int() itself refuses a number of thousands of digits.
    return int(text[:20])


def refuse_unread(length: int | None, environ: Environ, *, cap: int) -> None:
    """Raises: APIError 413 for a body that need not be read to refuse it.

    One that its client sends anyway is read, up to a bound.
    """
    comes_anyway = "HTTP_EXPECT" not in environ
    if length is not None and length > max(cap, SWALLOWED_BYTES if comes_anyway else 0):
        raise too_large(cap)


def receive(stream: Readable, length: int | None, *, cap: int, deadline: float) -> bytes:
    """Returns the body. `length` bytes were announced, or None for a chunked one.

    Raises: APIError 400 for fewer bytes than announced, 408, 413.
    """
    pieces: list[bytes] = []
    came, most = 0, SWALLOWED_BYTES if length is None else length
    while came < most:
        if time.monotonic() > deadline:
            raise APIError(408, "The request body did not arrive in time.")
        wanted = min(PIECE_BYTES, most - came)
        piece = stream.read(wanted)
        came += len(piece)
        if came <= cap:
            pieces.append(piece)
        else:
            # Counted and not kept.
            pieces.clear()
        if len(piece) < wanted:
            break
    if max(came, length or 0) > cap:
        raise too_large(cap)
    if length is not None and came < length:
        detail = f"{length} bytes were announced, {came} came."
        raise APIError(400, "The request body is incomplete.", detail=detail)
    return b"".join(pieces)


def too_large(cap: int) -> APIError:
    return APIError(413, "The request body is too large.", detail=f"The limit is {cap} bytes.")


def too_many_slow() -> APIError:
    return APIError(
        429,
        "Too many requests.",
        detail="Too many requests from this address are still sending their bodies.",
        headers={"Retry-After": RETRY_AFTER_UNAVAILABLE},
    )


def _refuse(
    error: APIError, start_response: StartResponse, *, headers: Mapping[str, str]
) -> Iterable[bytes]:
    answer = error.as_bytes()
    own = {"Content-Type": JSON_CONTENT_TYPE, "Content-Length": str(len(answer))}
    start_response(
        f"{error.status} {HTTPStatus(error.status).phrase}",
        list({**own, **headers, **error.headers}.items()),
    )
    return [answer]
