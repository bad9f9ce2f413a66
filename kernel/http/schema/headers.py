"""The headers of answers and requests, as components of the schema."""

from __future__ import annotations

from kernel.http.wire import HEADER, Schema, Wire

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}

ALWAYS = ("X-Coder-Build-Version", "X-Coder-Request-Id", "X-Content-Type-Options")
RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
DOCUMENT = ("ETag", "Cache-Control", "Vary")


def _header(description: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"description": description, "schema": schema} | ({"required": True} if required else {})


HEADERS: dict[str, Schema] = {
    "X-Coder-Build-Version": _header(
        "The `version` of GET /buildinfo.",
        _TEXT | {"examples": ["v2.29.0+coderapi.0.1.0"]},
        required=True,
    ),
    "X-Coder-Request-Id": _header(
        "A fresh one for every request; the log has it.",
        _TEXT | {"format": "uuid"},
        required=True,
    ),
    "X-Content-Type-Options": _header(
        "Browsers must not guess the type.", _TEXT | {"const": "nosniff"}, required=True
    ),
    "X-RateLimit-Limit": _header("Requests a minute; absent where none are counted.", _COUNT),
    "X-RateLimit-Remaining": _header("Requests left in this minute.", _COUNT),
    "X-RateLimit-Reset": _header("When counting starts again, in seconds of Unix time.", _COUNT),
    "Retry-After": _header("How many seconds to wait before trying again.", _COUNT),
    "WWW-Authenticate": _header(
        "How to authenticate, and why this attempt failed.",
        _TEXT | {"examples": ['Bearer realm="coder", error="invalid_token"']},
    ),
    "Allow": _header("The methods that the route has.", _TEXT | {"examples": ["GET, HEAD"]}),
    "ETag": _header("The document's version, in this wire and encoding.", _TEXT, required=True),
    "Cache-Control": _header("Keep it, but ask each time.", _TEXT, required=True),
    "Vary": _header("What else than the address decides.", _TEXT, required=True),
}

PARAMETERS: dict[str, Schema] = {
    "Coder-Wire": {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "The wire format of the answer: `documented` is the reference page's, "
        "`coderd` what Coder's own clients decode. By default the server's own, CODERAPI_WIRE.",
        "schema": {"type": "string", "enum": [wire.value for wire in Wire]},
    },
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "required": False,
        "description": "ETags that the caller has already: 304 without a body if one still holds.",
        "schema": {"type": "string"},
    },
}


def refs(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def parameter_ref(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}
