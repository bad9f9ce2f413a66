"""A request as a plain value, which does not depend on the server or on Django.

The rules of the steps (`kernel.http.steps`) read a `Call`. So the same rules apply before Django
and in Django.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from django.http import QueryDict
from django.utils.http import parse_header_parameters

COOKIE = "cookie"
UTF_8 = "utf-8"
WITHOUT_PREFIX = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE"})


class Call(NamedTuple):
    """A request without its body.

    `path` is decoded, but `query` is not. The names of headers are in lower case, with hyphens.
    `peer` is the IP address of the other end of the connection, and `scheme` is the scheme of the
    connection. `server` is used if the request has no Host header.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str
    scheme: str
    server: str = ""

    @property
    def host(self) -> str:
        return self.headers.get("host") or self.server


def decoded_path(raw: str) -> str:
    """Returns a path of a WSGI environment as text. Bytes that are not UTF-8 stay encoded."""
    return raw if raw.isascii() else raw.encode("latin-1").decode(errors=PERCENT_ENCODED)


def _percent_encoded(error: Any) -> tuple[str, int]:
    return quote(error.object[error.start : error.end]), error.end


# Django's `repercent_broken_unicode` has the same result, but takes 200 ms for 20,000 bytes.
PERCENT_ENCODED = "coderapi.percent_encoded"
codecs.register_error(PERCENT_ENCODED, _percent_encoded)


def joined_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Returns the headers by name. Values of the same name are joined, as RFC 9110, 5.3 requires.

    Drops names with an underscore, because in WSGI they look like names with a hyphen. A client
    could otherwise forge the headers of a trusted proxy.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if "_" in name:
            continue
        if name in headers:
            value = f"{headers[name]}{'; ' if name == COOKIE else ','}{value}"
        headers[name] = value
    return headers


@cache
def _key(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}"


class EnvironHeaders(Mapping[str, str]):
    """The headers in a WSGI environment. A copy would take longer than all steps together."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def get(self, name: str, default: Any = None, /) -> Any:
        return self._environ.get(_key(name), default)

    def __getitem__(self, name: str) -> str:
        return str(self._environ[_key(name)])

    def __iter__(self) -> Iterator[str]:
        names = (name for name in self._environ if name.startswith("HTTP_"))
        return (name[5:].replace("_", "-").lower() for name in names)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def from_environ(environ: Mapping[str, Any], path: str) -> Call:
    """Returns the call of a WSGI environment, for example Django's `request.META`."""
    return Call(
        environ["REQUEST_METHOD"].upper(),
        path,
        environ.get("QUERY_STRING", ""),
        EnvironHeaders(environ),
        environ.get("REMOTE_ADDR", ""),
        environ["wsgi.url_scheme"],
        environ.get("SERVER_NAME", ""),
    )


def from_scope(scope: Mapping[str, Any]) -> Call:
    """Returns the call of an ASGI scope."""
    return Call(
        method=scope["method"],
        path=_path_of(scope["raw_path"]),
        query=scope["query_string"].decode("latin-1"),
        headers=joined_headers(scope["headers"]),
        peer=scope["client"][0] if scope["client"] else "",
        scheme=scope["scheme"],
        server=scope["server"][0] if scope["server"] else "",
    )


def _path_of(raw: bytes) -> str:
    # Most paths contain no encoded character. The server has checked that they are ASCII.
    if b"%" not in raw:
        return raw.decode()
    return decoded_path(unquote_to_bytes(raw).decode("latin-1")) or "/"


def environ_of(scope: Mapping[str, Any], call: Call, body: bytes) -> dict[str, Any]:
    """Returns the WSGI environment of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": call.query,
        "SERVER_NAME": call.server,
        "SERVER_PORT": str(scope["server"][1] if scope["server"] else ""),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": call.peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": call.scheme,
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in call.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in WITHOUT_PREFIX else f"HTTP_{key}"] = value
    if "charset" in environ.get("CONTENT_TYPE", "").lower():
        environ["CONTENT_TYPE"] = _without_other_charset(environ["CONTENT_TYPE"])
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _without_other_charset(content_type: str) -> str:
    """Returns the Content-Type without parameters if its charset is not UTF-8.

    Django would decode the query with it, and Python has charsets for which this fails, before any
    middleware can handle the error.
    """
    with suppress(ValueError):
        if parse_header_parameters(content_type)[1].get("charset", UTF_8).lower() == UTF_8:
            return content_type
    return content_type.partition(";")[0]


def first_parameters(call: Call) -> dict[str, str]:
    """Returns the first value of each query parameter. Raises: TooManyFieldsSent."""
    if not call.query:
        return {}
    parameters = QueryDict(call.query.encode("latin-1"))
    return {name: str(values[0]) for name, values in parameters.lists() if values}
