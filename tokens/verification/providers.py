"""Another service that session tokens may belong to.

`verification` first looks a token up among our own keys. If no key has the token's id, it asks the
other service, if an app has registered one. So our own tokens do not leave this service while their
keys exist.

Each token has at most one lookup at a time, which all its requests share. It goes on when its
requests have given up, so that a repeated request finds its result. Three pools of threads ask the
service. In each, the addresses of clients take turns:

* one renews **known** answers, so that new tokens do not delay them;
* one looks up **new** tokens;
* one with a single thread looks up new tokens from addresses with many rejected ones.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Protocol

from kernel.futures import Pool, settle
from kernel.http.errors import APIError
from kernel.http.steps.hosts import client_of
from tokens.verification.batches import Found, Wanted
from users.permissions import KeyIdentity


class IdentityProvider(Protocol):
    """Identifies the session tokens that are not ours. Caches its answers itself.

    Requests wait `new_seconds` for the answer about a new token. They wait `known_seconds` for a
    newer answer about a known token, and then use the known one.
    """

    new_seconds: float
    known_seconds: float

    def recall(self, fingerprint: bytes) -> Found | None:
        """Returns the cached answer for a token, or None. Does not wait."""

    def known(self, fingerprint: bytes) -> Found | None:
        """Returns an older answer that may be used while the service is slow, or None."""

    def look_up(self, wanted: Wanted) -> Found:
        """Returns the identity of the token, or the error for it. May ask the service."""

    def too_slow(self) -> APIError:
        """Builds the error for a request that has waited too long."""

    def max_token_lifetime(self, token: str, caller: KeyIdentity, user: str) -> int:
        """Returns the service's limit for the tokens of a user: `me`, a UUID or a username.

        Units: nanoseconds. Raises: APIError 404 or 503.
        """


_other: IdentityProvider | None = None


def register(provider: IdentityProvider | None) -> None:
    """Registers the service to ask about tokens that are not ours. None removes it."""
    global _other
    _other = provider


def other() -> IdentityProvider | None:
    return _other


# The number of threads that ask for known answers and for new tokens, each.
ASKERS = 16


@dataclass(eq=False, slots=True)
class Asked:
    """A lookup that requests share. It must begin before `until`, when the last one gives up."""

    since: float
    until: float
    found: Future[Found] = field(default_factory=Future)


_lock = threading.Lock()
_asked: dict[bytes, Asked] = {}


def ask(provider: IdentityProvider, wanted: Wanted) -> tuple[Future[Found], float]:
    """Returns the lookup of the token and its monotonic start. Starts it if none is running."""
    now = time.monotonic()
    until = now + provider.new_seconds
    with _lock:
        if asked := _asked.get(wanted.fingerprint):
            asked.until = max(asked.until, until)
        else:
            is_known = provider.known(wanted.fingerprint) is not None
            # A known answer is renewed even if no request waits for it any more.
            asked = Asked(now, until=float("inf") if is_known else until)
            kind = "known" if is_known else "doubtful" if wanted.turn else "new"
            look_up = partial(_look_up, provider, wanted, asked)
            _pool(kind).submit(client_of(wanted.address), look_up)
            _asked[wanted.fingerprint] = asked
    return asked.found, asked.since


@cache
def _pool(kind: str) -> Pool:
    """Returns the threads for this kind of lookups. A forked process starts its own."""
    return Pool(1 if kind == "doubtful" else ASKERS, name=f"asker-{kind}")


def _look_up(provider: IdentityProvider, wanted: Wanted, asked: Asked) -> None:
    """Sets the result. Does not ask if all requests have given up before their turn."""

    def find() -> Found:
        try:
            if time.monotonic() > asked.until:
                return provider.too_slow()
            return provider.recall(wanted.fingerprint) or provider.look_up(wanted)
        finally:
            # Before the result is set, so that a later request begins a lookup of its own.
            with _lock:
                del _asked[wanted.fingerprint]

    settle(asked.found, find)
