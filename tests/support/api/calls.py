"""Requests as values, for tests of rules that need no server."""

from __future__ import annotations

import uuid
from typing import Any

from kernel.http.call import Call


def make_call(headers: dict[str, str] | None = None, **fields: Any) -> Call:
    """Returns a request. The headers' names are in lower case."""
    usual = {"method": "GET", "path": "/", "query": "", "peer": "127.0.0.1", "scheme": "http"}
    return Call(**{**usual, **fields}, headers=headers or {})


def assert_one_shape(answer: Any) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert uuid.UUID(answer.headers["X-Coder-Request-Id"]).version == 4
    assert answer.headers["X-Coder-Build-Version"].startswith("v")
    body: dict[str, Any] = answer.json()
    assert set(body) <= {"message", "detail", "validations"}
    assert body["message"]
    for validation in body.get("validations", []):
        assert set(validation) == {"field", "detail"}
    return body
