"""How large a request's body may be."""

from __future__ import annotations

from kernel.http.content_policy import REPORTS_PATH

MEBIBYTE = 1024 * 1024
DEFAULT_CAP = 4 * MEBIBYTE
CAPS = {
    REPORTS_PATH: 1 * MEBIBYTE,
    "/api/v2/deployment/stats/reports": 8 * MEBIBYTE,
}


def cap_for(method: str, path: str) -> int:
    """The most bytes that a body sent to this path may have."""
    return CAPS.get(path, DEFAULT_CAP)
