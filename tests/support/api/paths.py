"""Paths of the API."""

from __future__ import annotations

# Coder's operations, and coderapi's own.
API, OWN_API = "/api/v2", "/api/coderapi/v1"


def full(path: str) -> str:
    """Returns the path of an operation. Without a prefix, the operation is one of Coder."""
    return path if path.startswith("/api/") else API + path


TOKEN_CONFIG = "/users/{}/keys/tokens/tokenconfig"
# The paths of the documents that the event loop answers from its cache.
DOCUMENTS = [
    *("", "/", "/buildinfo", "/updatecheck", "/experiments", "/experiments/available"),
    *("/deployment/config", "/deployment/ssh", "/deployment/stats", TOKEN_CONFIG.format("me")),
    f"{OWN_API}/stats/history",
]
REPORTS = "/csp/reports"
# These headers depend on the request, on the clock or on the server.
NEVER_EQUAL = {
    *("server", "connection", "keep-alive", "x-coder-request-id", "date", "retry-after"),
    *("x-ratelimit-reset", "x-ratelimit-remaining"),
}
