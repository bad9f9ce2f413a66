"""Request and response headers, as components of the schema."""

from __future__ import annotations

from kernel.http import headers as names
from kernel.http import wire
from kernel.http.wire import Schema

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}

ALWAYS = (
    *(names.BUILD_VERSION, names.REQUEST_ID, "X-Content-Type-Options"),
    *(names.RATE_LIMIT, names.RATE_LIMIT_REMAINING, names.RATE_LIMIT_RESET),
)
DOCUMENT = ("ETag", "Cache-Control", "Vary")


def _header(description: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"description": description, "schema": schema} | ({"required": True} if required else {})


HEADERS: dict[str, Schema] = {
    names.BUILD_VERSION: _header(
        "The server's version, as in `version` of `GET /buildinfo`. Absent while it is not known.",
        _TEXT | {"examples": ["v2.34.1+coderapi.0.2.0"]},
    ),
    names.REQUEST_ID: _header(
        "Identifies the request in the server's log. Include it when you report a problem.",
        _TEXT | {"format": "uuid", "examples": ["3f2b8c1e-7a4d-4e0b-9a43-0c6b1d5f7e21"]},
        required=True,
    ),
    "X-Content-Type-Options": _header(
        "Keeps browsers from guessing the content type.",
        _TEXT | {"const": "nosniff"},
        required=True,
    ),
    names.RATE_LIMIT: _header(
        "The number of requests that you may send in a minute. Absent without a limit.", _COUNT
    ),
    names.RATE_LIMIT_REMAINING: _header(
        "The number of requests that you may still send in this minute.", _COUNT
    ),
    names.RATE_LIMIT_RESET: _header(
        "The Unix time, in seconds, at which the next minute begins.", _COUNT
    ),
    names.KEY_EXPIRES: _header(
        "The time at which the session token expires. Sent only in the last week of a "
        "token whose whole lifetime is more than a week.",
        _TEXT | {"examples": ["Tue, 20 Jan 2026 13:59:29 GMT"]},
    ),
    "Retry-After": _header("The number of seconds to wait before you try again.", _COUNT),
    "WWW-Authenticate": _header(
        "How to authenticate, and why authentication failed (RFC 6750).",
        _TEXT | {"examples": ['Bearer realm="coder", error="invalid_token"']},
    ),
    "ETag": _header(
        "The version of the response. Send it in `If-None-Match` with your next request. Lists "
        "have an ETag only if they are paginated.",
        _TEXT,
    ),
    "Cache-Control": _header(
        "Caches may store the response, but must revalidate it for each request.",
        _TEXT,
        required=True,
    ),
    "Vary": _header("The request headers that the response depends on.", _TEXT, required=True),
}


WIRE_COMPONENT = "coderapi.WireFormat"


def wire_schema() -> Schema:
    """Returns the schema of the wire format's header. It allows only the document's format."""
    # openapi-python-client does not accept `const` in a header.
    return _TEXT | {
        "enum": [wire.current().value],
        "description": "The wire format of this document. `documented` is the format of Coder's "
        "API reference. `coderd` is the format that Coder's own clients expect.",
    }


PARAMETERS: dict[str, Schema] = {
    names.WIRE_FORMAT: {
        "name": names.WIRE_FORMAT,
        "in": "header",
        "required": False,
        "description": "The format of the response. Without this header, it is the server's "
        "setting `CODERAPI_WIRE_FORMAT`. This document describes one format. Send its value if the "
        "setting may be another one.",
        "schema": {"$ref": f"#/components/schemas/{WIRE_COMPONENT}"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETags of the responses that you have cached. If one of them is "
        "current, the response is 304 without a body.",
        "schema": _TEXT,
    },
}


def refs(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
