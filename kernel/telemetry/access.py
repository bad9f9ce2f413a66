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
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import orjson

from kernel.loops import repeat
from kernel.telemetry.logs import scrub

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

WRITE_SECONDS = 0.2
# While nothing can be written, so many answers wait; more are counted and left out.
MAX_WAITING = 50_000
MAX_PATH, MAX_AGENT = 1024, 256
MAX_BLOCK = 64 * 1024
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
        f'"{_shown(answered.method)} {_shown(answered.path)} {answered.protocol}" '
        f"{answered.status} {answered.size} {answered.seconds * 1000:.3f} {answered.request_id}\n"
    ).encode()


def as_json(answered: Answered) -> bytes:
    at = _moment(int(answered.at), "%Y-%m-%dT%H:%M:%S")
    fields = {
        "ts": f"{at}.{int(answered.at % 1 * 1000):03d}Z",
        "client": answered.client,
        "method": _shown(answered.method),
        "path": _shown(answered.path),
        "protocol": answered.protocol,
        "status": answered.status,
        "bytes": answered.size,
        "duration_ms": round(answered.seconds * 1000, 3),
        "request_id": answered.request_id,
        "user_agent": scrub(answered.user_agent[:MAX_PATH])[:MAX_AGENT],
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


@lru_cache(maxsize=4)
def _moment(at: int, form: str) -> str:
    return time.strftime(form, time.gmtime(at))


@lru_cache(maxsize=512)
def _shown(text: str) -> str:
    """Returns a text of the request's first line, quoted as in a URL, without secrets.

    WSGI has each byte as a character.
    """
    found = scrub(text[: 4 * MAX_PATH])[:MAX_PATH]
    return quote(found.encode("latin-1", "replace"), safe="/:@!$&'()*+,;=~")


FORMS: dict[str, Callable[[Answered], bytes]] = {"common": as_common, "json": as_json}


class AccessLog:
    """The answers of this process that are to be written to a file."""

    def __init__(self, path: str, form: str) -> None:
        self._path = path
        self._line = FORMS[form]
        self._waiting: deque[Answered] = deque()
        self._left_out = 0
        self._writing = threading.Lock()

    def start(self) -> None:
        """Writes from now on, in a thread of its own, until the process ends."""
        threading.Thread(
            target=repeat,
            args=(self.write,),
            kwargs={"every": WRITE_SECONDS, "stop": threading.Event()},
            name="access-log",
            daemon=True,
        ).start()
        atexit.register(self.write)

    def add(self, answered: Answered) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(answered)
        else:
            self._left_out += 1

    def write(self) -> None:
        """Writes the lines of all that waits."""
        with self._writing:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                if waiting:
                    self._append(map(self._line, waiting))
            except OSError as error:
                logger.warning("The access log %s: %s", self._path, error.strerror)
            if self._left_out:
                logger.warning("The access log left out %d answers", self._left_out)
                self._left_out = 0

    def _append(self, lines: Iterable[bytes]) -> None:
        with _opened(self._path) as descriptor:
            # What several processes write to a pipe stays whole up to this size.
            is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
            for block in blocks(lines, most=select.PIPE_BUF if is_pipe else MAX_BLOCK):
                os.write(descriptor, block)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    if path in STANDARD:
        yield STANDARD[path]
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


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
        status, headers = "500", list[tuple[str, str]]()

        def start(told: str, with_headers: list[tuple[str, str]], *more: object) -> object:
            nonlocal status, headers
            status, headers = told, with_headers
            return start_response(told, with_headers, *more)  # type: ignore[arg-type]

        def record(size: int) -> None:
            log.add(_answered(environ, address_of(environ), status, headers, size, begun))

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
        method=method,
        path=environ.get("PATH_INFO", ""),
        protocol=environ.get("SERVER_PROTOCOL", ""),
        status=int(status[:3]),
        size=0 if method == "HEAD" else size,
        seconds=time.perf_counter() - begun,
        request_id=next((text for name, text in headers if name == REQUEST_ID), "-"),
        user_agent=environ.get("HTTP_USER_AGENT", ""),
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
