"""Users of a Coder deployment who use the service for the first time, all at the same time."""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from bench.faults.clients import TIMEOUT_SECONDS, report_body
from bench.faults.ledger import NO_ANSWER
from bench.faults.rounds import RECOVERY_SECONDS, Fault, Round
from bench.faults.service import Service
from bench.faults.stages import Single
from tests.support.coder.stand_in import Key, Person, StandInCoder

PEOPLE = 200
# While Coder is slow.
FEWER_PEOPLE, KNOWN_PEOPLE = 50, 20
MINUTE_SECONDS = 60.0
DESCRIPTION = (
    "Each answer of Coder takes {} s. 50 users come for the first time, and each repeats a request "
    "that got a 503. All are served in a minute, and 20 known users get no 503."
)
# Requests on new connections, so that each web process gets some.
FIRST_REQUESTS = 20
AFTERWARDS_SECONDS = 5.0
RETRY_SECONDS = 1.0
SSH, REPORTS = "/api/v2/deployment/ssh", "/api/v2/csp/reports"


class BesideCoder(Single):
    """The service beside a stand-in for Coder, which says to whom a token belongs."""

    def set_up(self) -> Service:
        service = super().set_up()
        self.coder = self._ends.enter_context(StandInCoder())
        service.token = self.new_token()
        service.environment |= {
            "CODERAPI_USER_SOURCE": "coder",
            "CODERAPI_CODER_URL": self.coder.url,
        }
        return service

    def new_token(self) -> str:
        """Returns a token of a person whom the service does not know."""
        return self.coder.add(Key(Person(f"new-{len(self.coder.keys)}"))).token

    def ask(
        self, kind: str, found: Round, path: str, *, token: str = "", body: str | None = None
    ) -> bool:
        """Sends a request, and notes its status and duration. Returns whether it succeeded."""
        headers = {"Coder-Session-Token": token} if token else {}
        begun, status = time.monotonic(), NO_ANSWER
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=TIMEOUT_SECONDS)
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("POST" if body else "GET", path, body, headers)
            status = connection.getresponse().status
        seconds = round(time.monotonic() - begun, 3)
        found.slowest[kind] = max(found.slowest.get(kind, 0.0), seconds)
        found.sent.count_status(kind, status)
        found.statuses = dict(sorted(found.sent.statuses.items()))
        return status == HTTPStatus.OK


class Newcomers(Fault[BesideCoder]):
    """200 users of Coder come at once for the first time. Each repeats a request that got a 503."""

    name, stage, rounds = "newcomers", BesideCoder, 3

    def play(self, stage: BesideCoder, found: Round, chance: random.Random) -> None:
        barrier = threading.Barrier(PEOPLE)

        def come(token: str) -> bool:
            barrier.wait()
            return _come(stage, found, token, RECOVERY_SECONDS) is not None

        with ThreadPoolExecutor(PEOPLE) as threads:
            served = list(threads.map(come, [stage.new_token() for _ in range(PEOPLE)]))
        if refused := served.count(False):
            found.problems.append(f"{refused} users were refused for {RECOVERY_SECONDS:.0f} s")
        found.away = _seconds_away(stage, found)


class SlowCoder(Fault[BesideCoder]):
    """Each answer of Coder takes some seconds, while users come and others are known."""

    stage, rounds = BesideCoder, 1

    def __init__(self, seconds: int) -> None:
        self.name, self.delay = f"slow-coder-{seconds}", float(seconds)
        self.__doc__ = DESCRIPTION.format(seconds)

    def play(self, stage: BesideCoder, found: Round, chance: random.Random) -> None:
        known = [stage.new_token() for _ in range(KNOWN_PEOPLE)]
        for token in known * FIRST_REQUESTS:
            stage.ask("first request", found, SSH, token=token)
        end = threading.Event()

        def stay(token: str) -> list[bool]:
            served = []
            while not end.wait(RETRY_SECONDS):
                served.append(stage.ask("known", found, SSH, token=token))
            return served

        def come(token: str) -> float | None:
            return _come(stage, found, token, MINUTE_SECONDS)

        with ThreadPoolExecutor(FEWER_PEOPLE + KNOWN_PEOPLE) as threads:
            stage.coder.delay = self.delay
            until = time.monotonic() + MINUTE_SECONDS
            staying = [threads.submit(stay, token) for token in known]
            came = list(threads.map(come, [stage.new_token() for _ in range(FEWER_PEOPLE)]))
            end.wait(max(0.0, until - time.monotonic()))
            end.set()
            stayed = [each for future in staying for each in future.result()]
            stage.coder.delay = 0.0
        served = sorted(filter(None, came))
        last = f"; the last of the others after {served[-1]:.1f} s" if served else ""
        found.failed = {
            "known": f"{stayed.count(False)} of {len(stayed)}",
            "newcomer": f"{came.count(None)} of {len(came)}{last}",
        }
        if None in came or False in stayed:
            found.problems.append(f"refused: {found.failed}")
        found.away = _seconds_away(stage, found)


def _come(stage: BesideCoder, found: Round, token: str, seconds: float) -> float | None:
    """Repeats a request until it succeeds. Returns the seconds that it took, or None."""
    begun = time.monotonic()
    while not stage.ask("newcomer", found, SSH, token=token):
        if time.monotonic() > begun + seconds:
            return None
        time.sleep(RETRY_SECONDS)
    return time.monotonic() - begun


def _seconds_away(stage: BesideCoder, found: Round) -> float | None:
    """Sends requests that need the database. Returns the seconds until the last error, or None."""
    begun, failed_at = time.monotonic(), 0.0
    while (now := time.monotonic()) < begun + AFTERWARDS_SECONDS:
        _, report = report_body()
        good = [
            stage.ask("readyz", found, "/readyz"),
            stage.ask("later user", found, SSH, token=stage.new_token()),
            stage.ask("report", found, REPORTS, body=json.dumps(report)),
        ]
        failed_at = failed_at if all(good) else now - begun
    return failed_at if failed_at < AFTERWARDS_SECONDS / 2 else None


FAULTS = (Newcomers(), SlowCoder(1), SlowCoder(2), SlowCoder(4))
