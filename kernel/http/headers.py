"""The headers that every answer has, and the id of a request."""

from __future__ import annotations

import random
import uuid

from django.conf import settings

# Seeded by the system's random source when a process first asks, so that no two draw the same. An
# id has to be unique and not secret; asking the system each time lets go of the interpreter's lock.
_random = random.Random()  # noqa: S311 - as said


def new_request_id() -> str:
    """Makes a UUID of version 4."""
    return str(uuid.UUID(int=_random.getrandbits(128), version=4))


def standing_headers(request_id: str) -> dict[str, str]:
    """Returns the headers of the answer to that request, whatever the answer is."""
    headers = {
        "X-Coder-Request-Id": request_id,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Coder-Build-Version": settings.BUILD_VERSION,
    }
    # Browsers heed it over HTTPS only, be that our own or a proxy's.
    if settings.STRICT_TRANSPORT_SECURITY:
        headers["Strict-Transport-Security"] = settings.STRICT_TRANSPORT_SECURITY
    return headers
