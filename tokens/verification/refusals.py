"""Errors for rejected session tokens. They state the cause and never contain the token."""

from __future__ import annotations

from datetime import datetime

from kernel.http.errors import APIError

EXPIRED = "You are signed out or your session has expired. Sign in again."


def _unauthenticated(message: str, detail: str) -> APIError:
    challenge = f'Bearer realm="coder", error="invalid_token", error_description="{detail}"'
    return APIError(401, message, detail=detail, headers={"WWW-Authenticate": challenge})


def missing() -> APIError:
    return _unauthenticated(EXPIRED, "The request has no session token.")


def missing_for_reports() -> APIError:
    return _unauthenticated(
        "Send a session token, or an ingest key: ?key=cik_…",
        "The request has neither a session token nor an ingest key.",
    )


def malformed() -> APIError:
    return _unauthenticated(
        EXPIRED,
        "The session token has a bad format. It must be 10 letters or digits, a hyphen, and "
        "22 letters or digits.",
    )


def unknown() -> APIError:
    """Builds the error for an unknown id or a wrong secret.

    Both have the same error, so that a caller cannot find out which ids exist.
    """
    return _unauthenticated(EXPIRED, "The session token is unknown or was revoked.")


def expired(at: datetime) -> APIError:
    return _unauthenticated(EXPIRED, f"The session token expired at {at:%Y-%m-%dT%H:%M:%SZ}.")


def suspended() -> APIError:
    return _unauthenticated("User is not active.", "The user of this session token is suspended.")
