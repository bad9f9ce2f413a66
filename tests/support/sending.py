"""Sends JSON to the API, and signs in too often."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from django.test import Client

from kernel.http.rate_limit import WINDOW_SECONDS, shared_counter
from tests.support.processes import wait_for
from users.passwords import MAX_TRIES_A_MINUTE


def send(client: Client, method: str, path: str, body: Any = None, **more: Any) -> Any:
    """Sends a request to a path below /api/v2. Bytes are sent unchanged."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
    return client.generic(
        method, f"/api/v2{path}", content, content_type="application/json", **more
    )


def validation_fields(answer: Any) -> list[str]:
    return sorted(entry["field"] for entry in answer.json().get("validations", []))


def after_too_many_sign_ins(ask: Callable[[], Any], *, is_refused: Callable[[Any], bool]) -> Any:
    """Uses up the sign-ins of this address and minute, and returns the answer to one more."""

    def answer() -> Any:
        # Try again if the minute ends between these lines, and with it the count.
        minute = int(time.time()) // WINDOW_SECONDS
        shared_counter().add("sign-in:127.0.0.1", minute, MAX_TRIES_A_MINUTE)
        result = ask()
        return result if is_refused(result) else None

    return wait_for(answer)


def is_429(answer: Any) -> bool:
    return bool(answer.status_code == 429)
