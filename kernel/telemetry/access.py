"""The access log: a line for each response, in the common or the JSON format, without queries.

A request only appends the data of its response to a queue. A writer thread formats and writes the
queue five times a second. So a request does not wait for a disk, a pipe, a lock, or a system call.
The file is opened for each write, so that log rotation can move it.

Rejected alternatives: `logging` with QueueHandler and QueueListener. A process whose log pipe is
not read would hang at exit, because QueueListener.stop and logging.shutdown wait without a timeout.
With a full disk, parts of different lines would be joined. Each request would take 15 µs longer
(measured).
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
from typing import NamedTuple
from urllib.parse import quote

import orjson

from kernel.loops import repeat
from kernel.telemetry.logs import scrub
from kernel.text.humanize import plural

WRITE_SECONDS = 0.2
# At exit, a process waits up to this time until the waiting lines are written.
MAX_END_SECONDS = 1.0
# If the file cannot be written and this many responses are waiting, further ones are dropped and
# counted.
MAX_WAITING = 50_000
MAX_METHOD, MAX_PATH, MAX_AGENT = 32, 1024, 256
# Several processes may write to the same pipe. The system writes a block of up to this size as a
# whole, so lines of different processes are not mixed.
MAX_BLOCK = select.PIPE_BUF
STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A request and its response. Units: `at` is a Unix time, `size` is in bytes of the body."""

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


def as_common(entry: Entry) -> bytes:
    """Formats a line in the common log format, plus milliseconds and the request id."""
    at = _moment(int(entry.at), "%d/%b/%Y:%H:%M:%S +0000")
    return (
        f"{entry.client or '-'} - - [{at}] "
        f'"{_shown(entry.method, MAX_METHOD)} {_shown(entry.path)} {entry.protocol}" '
        f"{entry.status} {entry.size} {entry.seconds * 1000:.3f} {entry.request_id}\n"
    ).encode()


def as_json(entry: Entry) -> bytes:
    at = _moment(int(entry.at), "%Y-%m-%dT%H:%M:%S")
    fields = {
        "ts": f"{at}.{int(entry.at % 1 * 1000):03d}Z",
        "client": entry.client,
        "method": _shown(entry.method, MAX_METHOD),
        "path": _shown(entry.path),
        "protocol": entry.protocol,
        "status": entry.status,
        "bytes": entry.size,
        "duration_ms": round(entry.seconds * 1000, 3),
        "request_id": entry.request_id,
        "user_agent": _shown_agent(entry.user_agent),
    }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


@lru_cache(maxsize=4)
def _moment(at: int, form: str) -> str:
    return time.strftime(form, time.gmtime(at))


@lru_cache(maxsize=512)
def _shown(text: str, limit: int = MAX_PATH) -> str:
    """Returns a part of the request line, percent-encoded and without secrets.

    In WSGI strings, each character is one byte.
    """
    scrubbed = scrub(text.encode("latin-1", "replace").decode(errors="surrogateescape"))
    return quote(scrubbed.encode(errors="surrogateescape")[:limit], safe="/:@!$&'()*+,;=~")


@lru_cache(maxsize=512)
def _shown_agent(text: str) -> str:
    return scrub(text)[:MAX_AGENT]


FORMS: dict[str, Callable[[Entry], bytes]] = {"common": as_common, "json": as_json}


class AccessLog:
    """A queue of this process's responses, and the thread that writes them to the file."""

    def __init__(self, path: str, form: str, *, max_waiting: int = MAX_WAITING) -> None:
        self._path, self._max_waiting = path, max_waiting
        self._line = FORMS[form]
        self._waiting: deque[Entry] = deque()
        self._dropped = 0
        self._is_torn = False

    def start(self) -> None:
        """Starts the writer thread, which runs until the process ends."""
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

    def add(self, entry: Entry) -> None:
        if len(self._waiting) < self._max_waiting:
            self._waiting.append(entry)
        else:
            self._dropped += 1

    def write(self) -> None:
        """Writes a line for each waiting response. Logs the number of dropped responses."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        self._dropped += len(waiting)
        try:
            if waiting:
                self._append(map(self._line, waiting))
        except OSError as error:
            logger.warning("The access log %s: %s", self._path, error.strerror)
        dropped, self._dropped = self._dropped, 0
        if dropped:
            logger.warning("The access log dropped %s", plural(dropped, "response"))

    def _append(self, lines: Iterable[bytes]) -> None:
        with _opened(self._path) as file:
            if self._is_torn:
                os.write(file.fileno(), b"\n")
                self._is_torn = False
            for block in blocks(lines, limit=MAX_BLOCK):
                # If the disk is nearly full, os.write() may write only a part of the block.
                while block:
                    written = block[: os.write(file.fileno(), block)]
                    block = block[len(written) :]
                    self._is_torn = not written.endswith(b"\n")
                    self._dropped -= written.count(b"\n")


def _opened(path: str) -> FileIO:
    if path in STANDARD:
        return FileIO(STANDARD[path], "a", closefd=False)
    return FileIO(path, "a", opener=lambda path, flags: os.open(path, flags, 0o640))


def blocks(lines: Iterable[bytes], *, limit: int) -> Iterator[bytes]:
    """Joins complete lines to blocks of at most `limit` bytes."""
    block = b""
    for line in lines:
        if block and len(block) + len(line) > limit:
            yield block
            block = b""
        block += line
    yield block
