"""Sends JSON to the API by method and path; and what an address meets that has tried too often."""

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
    """The answer of `method` at `path`, below /api/v2. A body of bytes goes as it is."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
    return client.generic(
        method, f"/api/v2{path}", content, content_type="application/json", **more
    )


def validation_fields(answer: Any) -> list[str]:
    return sorted(entry["field"] for entry in answer.json().get("validations", []))


def after_too_many_sign_ins(ask: Callable[[], Any], *, is_refused: Callable[[Any], bool]) -> Any:
    """Returns the answer to somebody who has tried to sign in as often as a minute allows."""

    def answer() -> Any:
        # The minute may end between the two, and with it the count.
        minute = int(time.time()) // WINDOW_SECONDS
        shared_counter().add("sign-in:127.0.0.1", minute, MAX_TRIES_A_MINUTE)
        found = ask()
        return found if is_refused(found) else None

    return wait_for(answer)


def is_429(answer: Any) -> bool:
    return bool(answer.status_code == 429)
