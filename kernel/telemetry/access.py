"""The access log: a line for each answer, in the common or the JSON form, and never a query.

A request's thread leaves only the facts of its answer. A thread of the process makes lines of them,
five times a second, so that no request waits for a disk or a pipe. The file is opened each time:
one that was moved away is followed by a new one.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import orjson

from kernel.loops import repeat
from kernel.telemetry.logs import scrub

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WRITE_SECONDS = 0.2
# A process that ends waits so long for who reads a pipe.
MAX_END_SECONDS = 1.0
# While nothing can be written, so many answers wait; more are counted and left out.
MAX_WAITING = 50_000
MAX_METHOD, MAX_PATH, MAX_AGENT = 32, 1024, 256
# What several processes write to a pipe stays whole up to this size.
MAX_BLOCK = select.PIPE_BUF
STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
REQUEST_ID = "X-Coder-Request-Id"

logger = logging.getLogger(__name__)


class Answered(NamedTuple):
    """An answer and what was asked. Units: Unix time in seconds, seconds, bytes of the body."""

    at: float
    client: str
    method: str
    path: str
    protocol: str
    status: int
    size: int
    seconds: float
    request_id: str
    user_agent: str


def as_common(answered: Answered) -> bytes:
    """Returns the line of the common log format, with the milliseconds and the request id."""
    at = _moment(int(answered.at), "%d/%b/%Y:%H:%M:%S +0000")
    return (
        f"{answered.client or '-'} - - [{at}] "
        f'"{_shown(answered.method, MAX_METHOD)} {_shown(answered.path)} {answered.protocol}" '
        f"{answered.status} {answered.size} {answered.seconds * 1000:.3f} {answered.request_id}\n"
    ).encode()


def as_json(answered: Answered) -> bytes:
    at = _moment(int(answered.at), "%Y-%m-%dT%H:%M:%S")
    fields = {
        "ts": f"{at}.{int(answered.at % 1 * 1000):03d}Z",
        "client": answered.client,
        "method": _shown(answered.method, MAX_METHOD),
        "path": _shown(answered.path),
        "protocol": answered.protocol,
        "status": answered.status,
        "bytes": answered.size,
        "duration_ms": round(answered.seconds * 1000, 3),
        "request_id": answered.request_id,
        "user_agent": scrub(answered.user_agent)[:MAX_AGENT],
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


@lru_cache(maxsize=4)
def _moment(at: int, form: str) -> str:
    return time.strftime(form, time.gmtime(at))


@lru_cache(maxsize=512)
def _shown(text: str, most: int = MAX_PATH) -> str:
    """Returns a text of the request's first line, quoted as in a URL, without secrets.

    WSGI has each byte as a character.
    """
    found = scrub(text.encode("latin-1", "replace").decode(errors="surrogateescape"))
    return quote(found.encode(errors="surrogateescape")[:most], safe="/:@!$&'()*+,;=~")


FORMS: dict[str, Callable[[Answered], bytes]] = {"common": as_common, "json": as_json}


class AccessLog:
    """The answers of this process that are to be written to a file."""

    def __init__(self, path: str, form: str) -> None:
        self._path = path
        self._line = FORMS[form]
        self._waiting: deque[Answered] = deque()
        self._left_out = 0
        self._is_torn = False

    def start(self) -> None:
        """Writes from now on, in a thread of its own, until the process ends."""
        stop = threading.Event()

        def run() -> None:
            repeat(self.write, every=WRITE_SECONDS, stop=stop)
            self.write()

        def finish() -> None:
            stop.set()
            thread.join(MAX_END_SECONDS)

        thread = threading.Thread(target=run, name="access-log", daemon=True)
        thread.start()
        atexit.register(finish)

    def add(self, answered: Answered) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(answered)
        else:
            self._left_out += 1

    def write(self) -> None:
        """Writes the lines of all that waits, and tells how many could not be written."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._left_out += len(waiting)
        try:
            if waiting:
                self._append(map(self._line, waiting))
        except OSError as error:
            logger.warning("The access log %s: %s", self._path, error.strerror)
        left_out, self._left_out = self._left_out, 0
        if left_out:
            logger.warning("The access log left out %d answers", left_out)

    def _append(self, lines: Iterable[bytes]) -> None:
        with _opened(self._path) as file:
            if self._is_torn:
                os.write(file.fileno(), b"\n")
                self._is_torn = False
            for block in blocks(lines, most=MAX_BLOCK):
                # A disk that is nearly full takes a part.
                while block:
                    written = block[: os.write(file.fileno(), block)]
                    block = block[len(written) :]
                    self._is_torn = not written.endswith(b"\n")
                    self._left_out -= written.count(b"\n")


def _opened(path: str) -> FileIO:
    if path in STANDARD:
        return FileIO(STANDARD[path], "a", closefd=False)
    return FileIO(path, "a", opener=lambda path, flags: os.open(path, flags, 0o640))


def blocks(lines: Iterable[bytes], *, most: int) -> Iterator[bytes]:
    """Joins whole lines up to so many bytes."""
    block = b""
    for line in lines:
        if block and len(block) + len(line) > most:
            yield block
            block = b""
        block += line
    yield block


def logged(
    app: WSGIApplication, *, log: AccessLog, address_of: Callable[[WSGIEnvironment], str]
) -> WSGIApplication:
    """Wraps an application, every answer of which is then logged when it has been handed over."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        begun = time.perf_counter()
        # Django puts its own reading of the path in this place.
        path = environ.get("PATH_INFO", "")[: 4 * MAX_PATH]
        status, headers = "500", list[tuple[str, str]]()

        def start(told: str, with_headers: list[tuple[str, str]], *more: object) -> object:
            nonlocal status, headers
            status, headers = told, with_headers
            return start_response(told, with_headers, *more)  # type: ignore[arg-type]

        def record(size: int) -> None:
            log.add(_answered(environ, path, address_of(environ), status, headers, size, begun))

        try:
            body = app(environ, start)  # type: ignore[arg-type]
        except BaseException:
            record(0)
            raise
        if isinstance(body, list):
            record(sum(map(len, body)))
            return body
        return _Streamed(body, record)

    return answer


def _answered(
    environ: WSGIEnvironment,
    path: str,
    client: str,
    status: str,
    headers: list[tuple[str, str]],
    size: int,
    begun: float,
) -> Answered:
    method = environ.get("REQUEST_METHOD", "")
    return Answered(
        at=time.time(),
        client=client,
        method=method[: 4 * MAX_METHOD],
        path=path,
        protocol=environ.get("SERVER_PROTOCOL", ""),
        status=int(status[:3]),
        size=0 if method == "HEAD" else size,
        seconds=time.perf_counter() - begun,
        request_id=next((text for name, text in headers if name == REQUEST_ID), "-"),
        user_agent=environ.get("HTTP_USER_AGENT", "")[: 4 * MAX_AGENT],
    )


class _Streamed:
    """An answer that the server asks for in pieces: logged when it is closed."""

    def __init__(self, body: Iterable[bytes], record: Callable[[int], None]) -> None:
        self._body = body
        self._record = record
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._size += len(piece)
            yield piece

    def close(self) -> None:
        try:
            if close := getattr(self._body, "close", None):
                close()
        finally:
            self._record(self._size)
