"""Limits the number of requests per minute, for all processes of one or more hosts (`counters`)."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from functools import cache
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from kernel.http import is_api_path
from kernel.http.call import Call
from kernel.http.errors import too_many
from kernel.http.headers import (
    BYPASS_RATE_LIMIT,
    RATE_LIMIT,
    RATE_LIMIT_REMAINING,
    RATE_LIMIT_RESET,
)
from kernel.http.identity import Identity
from kernel.http.results import Results
from kernel.http.routes import API_RATE_LIMIT, views_by_path
from kernel.http.steps.counters import Counter, RedisCounter, SharedCounter
from kernel.http.steps.hosts import client_of
from kernel.settings import settings

# The limit of an IPv6 /48 network, as a multiple of the limit of an IPv4 address. A network may
# belong to one person, or to many customers of a provider.
NETWORK_FACTOR = 4
WINDOW_SECONDS = 60
_BYPASS = BYPASS_RATE_LIMIT.lower()


def check(
    counter: Counter,
    bucket: str,
    *,
    limit: int,
    now: float,
    amount: int = 1,
    noun: str = "requests",
) -> dict[str, str]:
    """Adds `amount` to the bucket's count. Returns headers that describe its limit per minute.

    Raises: APIError 429 over the limit. `noun` names the requests in the error message.
    """
    minute, second = divmod(int(now), WINDOW_SECONDS)
    count = counter.add(bucket, minute, amount)
    headers = {
        RATE_LIMIT: str(limit),
        RATE_LIMIT_REMAINING: str(max(0, limit - count)),
        RATE_LIMIT_RESET: str((minute + 1) * WINDOW_SECONDS),
    }
    if count > limit:
        headers["Retry-After"] = str(WINDOW_SECONDS - second)
        raise too_many(f"The limit is {limit} {noun} a minute.", headers)
    return headers


def limit_of(client: str, limit: int) -> int:
    """Returns the limit of a client. `limit` is the limit of an IPv4 address."""
    return limit * NETWORK_FACTOR if ":" in client else limit


@cache
def shared_counter() -> Counter:
    """Returns the counter of this host's clients, and with CODERAPI_REDIS_URL of all hosts'."""
    return _counter("request-counts")


@cache
def counter_of_names() -> Counter:
    """Returns the counter of names that clients invent.

    Its table is another one, so a flood of names does not reset the counts of clients.
    """
    return _counter("name-counts")


def _counter(file: str) -> Counter:
    key = hashlib.sha256(settings.SECRET_KEY.encode()).digest()
    local = SharedCounter(private_directory() / file, key=key)
    return RedisCounter(settings.REDIS_URL, local) if settings.REDIS_URL else local


def private_directory() -> Path:
    """Creates a temporary directory that the processes of this service share.

    Raises: ImproperlyConfigured if the directory belongs to another user.
    """
    service = f"{settings.SECRET_KEY}:{settings.DATABASES['default'].get('NAME')}"
    digest = hashlib.sha256(service.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"coderapi-shared-{os.getuid()}-{digest}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or path.is_symlink():
        raise ImproperlyConfigured(f"{path} must be a directory of this user, with mode 0700.")
    return path


def count_request(
    call: Call, found: Results, *, amount: int = 1, noun: str = "requests"
) -> dict[str, str] | None:
    """Counts a request for the API by its user or IP address. This is a step of a request.

    Routes with another limit than the API are counted separately, so that the many CSP reports of a
    browser do not use up a user's limit for the API. If a limit counts the items in a request, the
    view calls this function again for the other items, and passes their number as `amount`.

    Returns headers of the response, or None if no limit applies. Raises: APIError 429.
    """
    path, identity = call.path, found.caller.identity
    if not is_api_path(path):
        return None
    view = views_by_path(settings.ROOT_URLCONF).get(path)
    name = getattr(view, "rate_limit", API_RATE_LIMIT)
    limit = getattr(settings, name)
    if limit is None:
        return None
    if identity is None:
        limit = limit_of(client_of(found.address), limit)
    elif call.headers.get(_BYPASS) == "true" and identity.has_role("owner"):
        return None
    kind = "" if name == API_RATE_LIMIT else f"{name}:"
    bucket = kind + bucket_of(identity, found.address)
    counter, now = shared_counter(), time.time()
    return check(counter, bucket, limit=limit, now=now, amount=amount, noun=noun)


def bucket_of(identity: Identity | None, address: str) -> str:
    return f"user:{identity.user_id}" if identity else f"ip:{client_of(address)}"
