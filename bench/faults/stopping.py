"""SIGTERM under load: with idle connections, behind a proxy, or with a frozen database."""

from __future__ import annotations

import http.client
import random
import time
from contextlib import suppress

from bench.faults.clients import TIMEOUT_SECONDS, Load
from bench.faults.rounds import Fault, Round
from bench.faults.stages import Activated, Balanced, Single

# The idle connections are used again, one after another, within this time after the signal. Later,
# the service closes idle connections. A request that is sent at that moment gets no response, and
# HTTP cannot prevent this (RFC 9112, section 9.5).
USE_AGAIN_SECONDS = 0.5
FAILURES = {"no answer", "reset", "no connection", "502", "503", "504"}


class Stopped(Fault[Single]):
    """SIGTERM under load with twelve idle keep-alive connections."""

    stage: type[Single] = Single
    name, rounds, seconds = "sigterm", 4, 0.0
    idle = 12

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        connections = [_used_once(stage.service.port) for _ in range(self.idle)]
        time.sleep(0.5)
        stage.service.terminate()
        self._resets = 0
        for connection in connections:
            time.sleep(USE_AGAIN_SECONDS / self.idle)
            self._resets += _is_reset(connection)
            with suppress(OSError):
                connection.close()
        status = stage.service.wait()
        self._found = [f"exit status {status}"] if status != 0 else []

    def repair(self, stage: Single) -> None:
        stage.service.start()

    def problems(self, stage: Single, found: Round) -> list[str]:
        """Returns lost requests as a problem. Resets are only counted.

        Without a proxy that reads /readyz, HTTP cannot prevent that a connection is closed at the
        moment when the client uses it.
        """
        lost = count(found, {"no answer"})
        found.resets = self._resets + count(found, {"reset"})
        return [*self._found, *([f"{lost} requests had no answer"] if lost else [])]


class StoppedBehindProxy(Stopped):
    """SIGTERM under load, behind a proxy that uses another server when /readyz fails."""

    name, stage, rounds, idle = "sigterm-proxy", Balanced, 3, 0

    def problems(self, stage: Single, found: Round) -> list[str]:
        # The probe of the metrics does not use the proxy. /readyz fails on purpose.
        failed = count(found, FAILURES, without=("metrics", "readyz"))
        return [*self._found, *([f"{failed} requests failed"] if failed else [])]


class Restarted(Stopped):
    """A restart under load, with a listening socket of systemd."""

    name, stage, rounds, idle = "restart-socket", Activated, 3, 0

    def problems(self, stage: Single, found: Round) -> list[str]:
        # Another process serves the metrics. A kept connection may be closed when it is used.
        failed = count(found, FAILURES - {"reset"}, without=("metrics", "readyz"))
        found.resets = count(found, {"reset"}, without=("metrics", "readyz"))
        return [*self._found, *([f"{failed} requests failed"] if failed else [])]


def count(found: Round, statuses: set[str], *, without: tuple[str, ...] = ()) -> int:
    """Returns the number of requests with these results."""
    parts = ((*name.partition(" "), number) for name, number in found.statuses.items())
    return sum(n for kind, _, status, n in parts if status in statuses and kind not in without)


class StoppedWhileFrozen(Fault[Single]):
    """SIGTERM while PostgreSQL is frozen."""

    name, stage, rounds, seconds = "sigterm-frozen", Single, 2, 0.0

    def break_(self, stage: Single, chance: random.Random, load: Load) -> None:
        stage.cluster.freeze()
        time.sleep(2)
        begun = time.monotonic()
        stage.service.terminate()
        status = stage.service.wait()
        took = time.monotonic() - begun
        # Another status means that a process was killed. The stop must take at most 30 s.
        is_wrong = took > 30 or status not in {0, 1}
        self._found = [f"exit status {status} after {took:.1f} s"] if is_wrong else []

    def repair(self, stage: Single) -> None:
        stage.cluster.thaw()
        stage.service.start()


def _used_once(port: int) -> http.client.HTTPConnection:
    """Returns an idle connection that has been used once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/api/v2/buildinfo")
    connection.getresponse().read()
    return connection


def _is_reset(connection: http.client.HTTPConnection) -> bool:
    """Sends another request, unless the connection was closed. Returns whether it is reset."""
    socket = connection.sock
    if socket is None:
        return False
    socket.setblocking(False)
    try:
        if socket.recv(1) == b"":
            return False
    except BlockingIOError:
        pass
    except OSError:
        return True
    socket.settimeout(TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/api/v2/buildinfo")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return True
    return False


FAULTS = (Stopped(), StoppedBehindProxy(), Restarted(), StoppedWhileFrozen())
