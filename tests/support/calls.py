"""Requests as values, for tests of rules that need no server."""

from __future__ import annotations

from typing import Any

from kernel.http.call import Call


def make_call(headers: dict[str, str] | None = None, **fields: Any) -> Call:
    """Returns a request. The headers' names are in lower case."""
    usual = {"method": "GET", "path": "/", "query": "", "peer": "127.0.0.1", "scheme": "http"}
    return Call(**{**usual, **fields}, headers=headers or {})
