"""Sends JSON to the API by method and path."""

from __future__ import annotations

import json
from typing import Any

from tests.support.client import APIClient


def send(client: APIClient, method: str, path: str, body: Any = None, **more: Any) -> Any:
    """The answer of `method` at `path`, below /api/v2. A body of bytes goes as it is."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
    return client.generic(
        method, f"/api/v2{path}", content, content_type="application/json", **more
    )


def validation_fields(answer: Any) -> list[str]:
    return sorted(entry["field"] for entry in answer.json().get("validations", []))
