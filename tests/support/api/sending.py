"""Sends JSON to the API, and changes the counts of the rate limits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from django.test import Client

from kernel.http.steps.counters import SECTION_BYTES
from kernel.http.steps.rate_limit import WINDOW_SECONDS, counter_of_names, shared_counter
from tests.support.api.paths import full
from users.passwords import MAX_TRIES_A_MINUTE

# The number of sections in use is at the beginning of the file.
HEADER_BYTES = 8


def send(client: Client, method: str, path: str, body: Any = None, **more: Any) -> Any:
    """Sends a request to a path of the API (`paths.full`). Bytes are sent unchanged."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
    return client.generic(method, full(path), content, content_type="application/json", **more)


def validation_fields(answer: Any) -> list[str]:
    return sorted(entry["field"] for entry in answer.json().get("validations", []))


def after_too_many_sign_ins[T](ask: Callable[[], T]) -> T:
    """Uses up the sign-in attempts of this minute, and returns the answer to one more."""
    now = time.time()
    with patch("time.time", lambda: now):
        minute = int(now) // WINDOW_SECONDS
        shared_counter().add("sign-in:127.0.0.1", minute, MAX_TRIES_A_MINUTE)
        return ask()


def count_rejected_tokens(more: int = 0, *, address: str = "127.0.0.1") -> int:
    """Adds to the number of rejected tokens of the address in this minute, and returns it."""
    return count(f"refused:{address}", more)


def count(bucket: str, more: int = 0, *, of_names: bool = False) -> int:
    """Adds to a count of this minute, and returns it."""
    counter: Any = counter_of_names() if of_names else shared_counter()
    return int(counter.add(bucket, int(time.time()) // WINDOW_SECONDS, more))


def forget_counts() -> None:
    """Resets the counts of all rate limits."""
    counters: list[Any] = [shared_counter(), counter_of_names()]
    for counter in counters:
        # The file has room for many processes. Writing all of it takes longer than most tests.
        used = int.from_bytes(counter._map[:HEADER_BYTES], "little") * SECTION_BYTES
        counter._map[HEADER_BYTES : HEADER_BYTES + used] = bytes(used)
