"""Clients of the service. Each is a thread that sends one kind of request until the load ends."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench import requests, rows
from bench.faults.ledger import (
    NO_ANSWER,
    NO_CONNECTION,
    REPORT,
    RESET,
    ROW,
    TOKEN,
    Sent,
)
from bench.faults.service import Service
from bench.faults.stages import Stage
from bench.rows import SECRET
from bench.scenarios.imports import agent_rows

REPORTERS = 6
CROWD = 150
KEYS = 20_000
READERS = 2
ROWS_IN_BATCH = 10
TIMEOUT_SECONDS = 20.0
PROBE_SECONDS = 10.0
# A request that began before the repair may fail during this time after it.
IN_FLIGHT_SECONDS = 5.0
STEADY_SECONDS = 1.5
POLL_SECONDS = 0.05
DOCUMENT, LOOKUP = "document", "lookup"
PROBES = ("healthz", "livez", "readyz", "metrics")
DOCUMENTS = ("buildinfo", "deployment/config", "experiments", "deployment/ssh")
# Up to this number, each report of a group is stored as a row. Of more, only a sample is stored.
REPORTS_IN_GROUP = 500
_marks = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and the marks in its body. The ledger looks for these marks in the database."""

    method: str
    path: str
    body: bytes | None = None
    marks: tuple[str, ...] = ()
    token: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    """One thread of the load: its kind, its requests, and the pause after each."""

    kind: str
    asks: Iterator[Ask]
    pause: float
    port: int
    timeout: float = TIMEOUT_SECONDS
    with_token: bool = True
    keeps_connection: bool = True


@dataclass(slots=True)
class Course:
    """The results of one kind of request. `good_since`: the first success after the last error."""

    good_since: float | None = None
    slowest: float = 0.0
    failed: int = 0
    asked: int = 0


@dataclass(slots=True)
class Load:
    """All clients of one round, which run until the block ends."""

    service: Service
    sent: Sent = field(default_factory=Sent)
    courses: dict[str, Course] = field(default_factory=dict)
    _repaired: float = float("inf")
    _under_way: dict[int, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _counted: frozenset[str] = frozenset()

    def __enter__(self) -> Load:
        clients = list(_clients(self.service))
        self._counted = frozenset(client.kind for client in clients)
        self.add(clients)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def add(self, clients: Sequence[Client]) -> None:
        for client in clients:
            self.courses.setdefault(client.kind, Course())
            thread = threading.Thread(target=self._run, args=[client], daemon=True)
            self._threads.append(thread)
            thread.start()

    def repaired(self) -> None:
        """Begins to measure the recovery."""
        with self._lock:
            self._repaired = time.monotonic()
            for course in self.courses.values():
                course.good_since = None

    def seconds_away(self, *, at_most: float) -> float | None:
        """Returns the seconds from the repair until all kinds of request succeed, or None."""
        while (now := time.monotonic()) < self._repaired + at_most:
            since = self._good_since()
            if since is not None and now - since > STEADY_SECONDS:
                return since - self._repaired
            time.sleep(POLL_SECONDS)
        return None

    def troubled(self) -> list[str]:
        """Returns the kinds of request that fail now."""
        with self._lock:
            return [kind for kind in sorted(self._counted) if not self.courses[kind].good_since]

    def _good_since(self) -> float | None:
        limit = time.monotonic() - IN_FLIGHT_SECONDS
        with self._lock:
            if any(begun < limit for begun in self._under_way.values()):
                return None
            found = [self.courses[kind].good_since for kind in self._counted]
        moments = [moment for moment in found if moment is not None]
        return max(moments) if len(moments) == len(found) else None

    def _run(self, client: Client) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=client.timeout)
        for ask in client.asks:
            maybe_written = False
            while not self._stop.is_set():
                status = self._ask(client, connection, ask)
                self.sent.count_status(client.kind, status)
                if ask.marks and status != NO_CONNECTION:
                    self.sent.note(client.kind, ask.marks, status, maybe_written=maybe_written)
                maybe_written |= status in {NO_ANSWER, RESET}
                self._stop.wait(client.pause if status > 0 else max(client.pause, 0.1))
                # Rows have ids, so a client can repeat a request that had no answer.
                if status > 0 or client.kind != ROW:
                    break
            if self._stop.is_set():
                break
        connection.close()

    def _ask(self, client: Client, connection: http.client.HTTPConnection, ask: Ask) -> int:
        token = ask.token or (self.service.token if client.with_token else "")
        headers = {"Coder-Session-Token": token} if token else {}
        begun = time.monotonic()
        me = threading.get_ident()
        with self._lock:
            self._under_way[me] = begun
        status = NO_ANSWER
        try:
            connection.request(ask.method, ask.path, body=ask.body, headers=headers)
            response = connection.getresponse()
            response.read()
            status = response.status
        except ConnectionRefusedError:
            status = NO_CONNECTION
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            # RemoteDisconnected is also a ConnectionResetError, but the connection was only closed.
            is_closed = isinstance(error, http.client.RemoteDisconnected)
            if isinstance(error, ConnectionResetError) and not is_closed:
                status = RESET
            connection.close()
        if not client.keeps_connection:
            connection.close()
        self._note(client.kind, me, begun, good=200 <= status < 300)
        return status

    def _note(self, kind: str, me: int, begun: float, *, good: bool) -> None:
        now = time.monotonic()
        with self._lock:
            del self._under_way[me]
            course = self.courses[kind]
            course.asked += 1
            course.failed += not good
            course.slowest = max(course.slowest, now - begun)
            since_repair = begun >= self._repaired
            if good and since_repair and course.good_since is None:
                course.good_since = now
            elif not good and (since_repair or now > self._repaired + IN_FLIGHT_SECONDS):
                course.good_since = None


def crowd(stage: Stage) -> list[Client]:
    """Returns clients with new keys of the first owner, so that each request needs a lookup."""
    with stage.look() as connection:
        row = connection.execute("SELECT FROM tokens_apikey WHERE id = '0000000001'").fetchone()
        if row is None:
            rows.make_keys(connection, KEYS, id="lpad(n::text, 10, '0')")
    shared = _Shared(Ask("GET", "/api/v2/deployment/ssh", token=key) for key in _keys)
    port = stage.service.port
    return [Client(LOOKUP, shared, 0.2, port, with_token=False) for _ in range(CROWD)]


def _new_keys() -> Iterator[str]:
    for number in itertools.cycle(range(1, KEYS + 1)):
        yield f"{number:010}-{SECRET}"


_keys = _new_keys()


class _Shared:
    """An iterator that several threads may use."""

    def __init__(self, asks: Iterable[Ask]) -> None:
        self._asks = iter(asks)
        self._lock = threading.Lock()

    def __iter__(self) -> _Shared:
        return self

    def __next__(self) -> Ask:
        with self._lock:
            return next(self._asks)


def _clients(service: Service) -> Iterator[Client]:
    port = service.client_port
    for _ in range(REPORTERS):
        yield Client(REPORT, _repeated(_report), 0.01, port, with_token=False)
    yield Client(ROW, _repeated(_rows), 0.1, port)
    yield Client(TOKEN, _repeated(_token), 0.1, port)
    for number in range(READERS):
        yield Client(DOCUMENT, _documents(number), 0.02, port)
    for probe in PROBES:
        own_port = service.metrics_port if probe == "metrics" else port
        yield Client(
            probe,
            itertools.repeat(Ask("GET", f"/{probe}")),
            0.25 if probe == "metrics" else 0.1,
            own_port,
            timeout=PROBE_SECONDS,
            with_token=False,
            keeps_connection=False,
        )


def _repeated(make: Callable[[], Ask]) -> Iterator[Ask]:
    while True:
        yield make()


def _documents(number: int) -> Iterator[Ask]:
    for name in itertools.islice(itertools.cycle(DOCUMENTS), number, None):
        yield Ask("GET", f"/api/v2/{name}")


def _report() -> Ask:
    mark, report = report_body()
    return Ask("POST", "/api/v2/csp/reports", json.dumps(report).encode(), (mark,))


def report_body() -> tuple[str, dict[str, Any]]:
    """Returns the next report and its mark, which is its line number."""
    mark = next(_marks)
    blocked = f"https://cdn{mark // REPORTS_IN_GROUP}.example.net/lib.js"
    report = requests.REPORT | {"blocked-uri": blocked, "line-number": mark}
    return str(mark), {"csp-report": report}


def _rows() -> Ask:
    # Agents send rows of the current minute. A row of an earlier one would have it built again.
    now = {"kind": "agent", "created_at": datetime.now(tz=UTC).isoformat()}
    rows = [row | now for row in agent_rows(0, ROWS_IN_BATCH)]
    ids = tuple(row["id"] for row in rows)
    return Ask("POST", "/api/coderapi/v1/stats/agent-rows", json.dumps(rows).encode(), ids)


def _token() -> Ask:
    name = f"fault-{next(_marks)}"
    return Ask(
        "POST", "/api/v2/users/me/keys/tokens", json.dumps({"token_name": name}).encode(), (name,)
    )
