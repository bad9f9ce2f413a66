"""Paths of the API."""

from __future__ import annotations

# Coder's operations, and coderapi's own.
API, OWN_API = "/api/v2", "/api/coderapi/v1"


def full(path: str) -> str:
    """Returns the path of an operation. Without a prefix, the operation is one of Coder."""
    return path if path.startswith("/api/") else API + path
