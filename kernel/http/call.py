"""A request as a plain value, which does not depend on the server or on Django.

The rules of the steps (`kernel.http.exchange`) read a `Call`. So the same rules apply before Django
and in Django.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl

from django.utils.http import parse_header_parameters

from kernel.http.errors import APIError

COOKIE = "cookie"
UTF_8 = "utf-8"
# The maximum number of query parameters.
MAX_FIELDS = 100
_SLASHES = re.compile("//+")
WITHOUT_PREFIX = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE"})


@dataclass(eq=False)
class Call:
    """A request without its body.

    `path` is decoded and `single_slashed`, but `query` is not decoded. The names of headers are in
    lower case, with hyphens. `peer` is the IP address of the other end of the connection, and
    `scheme` is the scheme of the connection. `server` is the host of a request without a Host
    header.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str
    scheme: str
    server: str = ""

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """The first value of each query parameter. Raises: APIError 400 for too many."""
        if not self.query:
            return {}
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
        except ValueError:
            detail = f"The limit is {MAX_FIELDS}."
            raise APIError(400, "The query has too many parameters.", detail) from None
        pairs.reverse()
        return dict(pairs)


def single_slashed(path: str) -> str:
    """Returns the path without repeated slashes.

    Clients send such slashes if their base URL ends with a slash.
    """
    return _SLASHES.sub("/", path) if "//" in path else path


@lru_cache(maxsize=1024)
def header_name(raw: bytes) -> str:
    """Returns the name of a header in lower case, or "" for a name to drop.

    In WSGI, a name with an underscore looks like one with a hyphen. A client could otherwise forge
    the headers of a trusted proxy.
    """
    return "" if b"_" in raw else raw.decode("latin-1").lower()


def join_header(headers: dict[str, str], name: str, value: str) -> None:
    """Adds a value to a header that is there, as RFC 9110, 5.3 requires."""
    headers[name] = f"{headers[name]}{'; ' if name == COOKIE else ','}{value}"


def from_environ(environ: Mapping[str, Any], path: str) -> Call:
    """Returns the call of a WSGI environment, for example Django's `request.META`."""
    names = (name for name in environ if name.startswith("HTTP_"))
    return Call(
        environ["REQUEST_METHOD"].upper(),
        single_slashed(path),
        environ.get("QUERY_STRING", ""),
        {name[5:].replace("_", "-").lower(): environ[name] for name in names},
        environ.get("REMOTE_ADDR", ""),
        environ["wsgi.url_scheme"],
        environ.get("SERVER_NAME", ""),
    )


def environ_of(call: Call, body: bytes, *, port: int = 0, version: str = "1.1") -> dict[str, Any]:
    """Returns the WSGI environment of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": call.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": call.path.encode().decode("latin-1"),
        "QUERY_STRING": call.query,
        "SERVER_NAME": call.server,
        "SERVER_PORT": str(port or ""),
        "SERVER_PROTOCOL": f"HTTP/{version}",
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
