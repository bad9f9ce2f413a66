"""The headers of answers and requests, as components of the schema."""

from __future__ import annotations

from kernel.http.wire import HEADER, Schema, Wire

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}

ALWAYS = ("X-Coder-Build-Version", "X-Coder-Request-Id", "X-Content-Type-Options")
RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
DOCUMENT = ("ETag", "Cache-Control", "Vary")
SECURED = ("Sunset",)


def _header(description: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"description": description, "schema": schema} | ({"required": True} if required else {})


HEADERS: dict[str, Schema] = {
    "X-Coder-Build-Version": _header(
        "The server's version: the member `version` of `GET /buildinfo`.",
        _TEXT | {"examples": ["v2.29.0+coderapi.0.1.0"]},
        required=True,
    ),
    "X-Coder-Request-Id": _header(
        "Identifies this request in the server's log. Name it when you report a problem.",
        _TEXT | {"format": "uuid", "examples": ["3f2b8c1e-7a4d-4e0b-9a43-0c6b1d5f7e21"]},
        required=True,
    ),
    "X-Content-Type-Options": _header(
        "Tells browsers not to guess the content's type.",
        _TEXT | {"const": "nosniff"},
        required=True,
    ),
    "X-RateLimit-Limit": _header(
        "The requests that the caller may send in a minute. Absent where no limit holds.", _COUNT
    ),
    "X-RateLimit-Remaining": _header(
        "The requests that the caller may still send in this minute.", _COUNT
    ),
    "X-RateLimit-Reset": _header(
        "The time at which the next minute begins, in Unix seconds.", _COUNT
    ),
    "Sunset": _header(
        "The time when the session token ends (RFC 8594). Sent in its last week.",
        _TEXT | {"examples": ["Tue, 20 Jan 2026 13:59:29 GMT"]},
    ),
    "Retry-After": _header("The seconds to wait before the next try.", _COUNT),
    "WWW-Authenticate": _header(
        "The way to authenticate, and the reason why it failed (RFC 6750).",
        _TEXT | {"examples": ['Bearer realm="coder", error="invalid_token"']},
    ),
    "ETag": _header(
        "The version of the answer. Send it back in `If-None-Match`. A list has one where it is "
        "paged.",
        _TEXT,
    ),
    "Cache-Control": _header(
        "Lets caches keep the answer if they ask each time whether it still holds.",
        _TEXT,
        required=True,
    ),
    "Vary": _header("The request headers on which the answer depends.", _TEXT, required=True),
}

WIRE_COMPONENT = "coderapi.Wire"
SCHEMAS: dict[str, Schema] = {
    WIRE_COMPONENT: {
        "type": "string",
        "enum": [wire.value for wire in Wire],
        "description": "A form of the answers: `documented` is the form of Coder's published API "
        "reference, `coderd` the form that Coder's server sends and its own clients read.",
    }
}

PARAMETERS: dict[str, Schema] = {
    "Coder-Wire": {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "The form of the answer. Without it the server decides (its setting "
        "`CODERAPI_WIRE`).",
        "schema": {"$ref": f"#/components/schemas/{WIRE_COMPONENT}"},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "The ETags of answers that the caller has. If one of them still holds, the "
        "answer is 304 without a body.",
        "schema": {"type": "string"},
    },
}


def refs(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def parameter_ref(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}
