"""Sends requests to the API of the Coder deployment at CODERAPI_CODER_URL.

Every request has a deadline, because a Coder deployment whose database hangs does not respond.
**The breaker**: after three requests in a row without a response, further requests are rejected at
once. Every five seconds, one request is let through, and the next response closes the breaker. A
response closes it whatever its status is, so an error of Coder, or a Coder that is slow but in
time, rejects no other request. Each path has its own breaker.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.db import DataError
from prometheus_client import Counter

from jobs.registry import JobFailedError
from kernel.failures import Failures
from kernel.http.headers import BUILD_VERSION, SESSION_TOKEN
from kernel.outgoing import MAX_BODY_BYTES, Outgoing, OutgoingError, Reply, redacted, send

SECONDS = 2.0
MAX_FAILURES = 3
OPEN_SECONDS = 5.0
# For long responses: Coder returns the tokens of all users in one.
MAX_BYTES = 64 * 1024 * 1024

REQUESTS = Counter("coderapi_coder_requests", "Requests sent to Coder, by path.", ["path"])
# The IDs in a path. The label must not contain them.
_IDS = re.compile(r"(?<=/users/)[^/]+(?=/keys)|(?<=/keys/)(?!tokens)[^/]+")


class CoderUnavailableError(JobFailedError):
    """Coder did not respond, or its response is not usable.

    The message contains the reason, but not Coder's internal URL.
    """


# The errors of converting or storing a response that does not have the expected form.
OTHER_FORM = (AttributeError, KeyError, TypeError, ValueError, RecursionError, DataError)


@dataclass(frozen=True, slots=True)
class CoderAnswer:
    """A response of Coder with a status below 500. `value` is its JSON, or None without a body."""

    path: str
    status: int
    value: Any

    def read[T](self, convert: Callable[[Any], T]) -> T:
        """Returns the converted JSON. Raises: CoderUnavailableError if it cannot be converted."""
        self.require_success()
        try:
            return convert(self.value)
        except OTHER_FORM as error:
            # The message of the error may contain a part of the response.
            reason = f"has an unknown form: {type(error).__name__}"
            raise CoderUnavailableError(f"Coder's response to {self.path} {reason}.") from None

    def require_success(self) -> None:
        """Raises: CoderUnavailableError for a status other than 2xx."""
        if self.status == 429:
            raise CoderUnavailableError(
                "Coder limits our requests. Raise CODER_API_RATE_LIMIT of Coder."
            )
        if self.status >= 300:
            raise CoderUnavailableError(f"Coder returned status {self.status} for {self.path}.")


class Breaker:
    """Rejects requests at once while Coder does not respond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retry_at = 0.0
        self.failures = Failures()

    @property
    def is_open(self) -> bool:
        return self.failures.count >= MAX_FAILURES

    def check(self) -> None:
        """Raises: CoderUnavailableError while the breaker is open. Lets one test request pass."""
        with self._lock:
            now = time.monotonic()
            if self.is_open and now < self._retry_at:
                raise CoderUnavailableError(self.failures.reason)
            self._retry_at = now + OPEN_SECONDS

    def record(self, reason: str) -> None:
        """Records a failure with its reason, or a response if `reason` is empty."""
        with self._lock:
            self._retry_at = time.monotonic() + OPEN_SECONDS
        if reason:
            self.failures.add(reason)
        else:
            self.failures.end()


# By path, with "{id}" for each ID. Coder may need too long for one path, and not for others.
_breakers: defaultdict[str, Breaker] = defaultdict(Breaker)


def is_unavailable() -> bool:
    """Returns whether Coder did not respond to the last requests for a path."""
    return any(breaker.is_open for breaker in tuple(_breakers.values()))


def forget_failures() -> None:
    _breakers.clear()


_version = ""
_learned_at = float("-inf")


def version() -> str:
    """Returns the version of Coder in its latest response, or "" before the first one."""
    return _version


def learn_version(found: str, *, at: float) -> None:
    """Replaces the version by one that Coder has sent at this monotonic time."""
    global _version, _learned_at
    _version, _learned_at = found, at


def silent_seconds() -> float:
    """Returns the time since the latest response with a version."""
    return time.monotonic() - _learned_at


def ask(
    path: str,
    *,
    token: str,
    method: str = "GET",
    body: object = None,
    seconds: float = SECONDS,
    max_bytes: int = MAX_BODY_BYTES,
    client_address: str = "",
    passes_breaker: bool = False,
) -> CoderAnswer:
    """Sends the request with the token in Coder's own header.

    A cookie would require a CSRF token. Redirects are not followed, because a response of Coder's
    API is never a redirect. With `passes_breaker`, the request is sent even if the breaker is open.
    Raises: CoderUnavailableError if Coder does not respond in time, or responds with a status of
    500 or more, a redirect, or something other than JSON.
    """
    label = _IDS.sub("{id}", path.partition("?")[0])
    breaker = _breakers[label]
    if not passes_breaker:
        breaker.check()
    REQUESTS.labels(label).inc()
    outgoing = Outgoing(
        f"{settings.CODER_URL}{path}",
        _headers(token, client_address),
        method=method,
        body=None if body is None else orjson.dumps(body),
        networks=None,
        max_bytes=max_bytes,
        max_redirects=0,
    )
    reply = _sent(outgoing, breaker, seconds=seconds)
    value = _json(reply)
    found = reply.headers.get(BUILD_VERSION, "")
    # Each of our responses repeats the version in a header.
    if found and found.isascii() and found.isprintable():
        learn_version(found[:64], at=time.monotonic())
    return CoderAnswer(path, reply.status, value)


def _sent(outgoing: Outgoing, breaker: Breaker, *, seconds: float) -> Reply:
    try:
        reply = send(outgoing, seconds=seconds)
    except OutgoingError as error:
        reason = str(error).replace(redacted(settings.CODER_URL), "Coder")
        breaker.record(reason)
        raise CoderUnavailableError(reason) from None
    breaker.record("")
    return reply


def _headers(token: str, client_address: str) -> dict[str, str]:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": settings.USER_AGENT,
        SESSION_TOKEN: token,
        # If Coder trusts this header, it counts and records the request for the client.
        "X-Forwarded-For": client_address,
    }
    return {name: value for name, value in headers.items() if value}


def _json(reply: Reply) -> Any:
    if reply.status >= 500 or 300 <= reply.status < 400:
        raise CoderUnavailableError(f"Coder returned status {reply.status}")
    try:
        return orjson.loads(reply.body) if reply.body else None
    except ValueError:
        raise CoderUnavailableError("Coder returned a body that is not JSON") from None
