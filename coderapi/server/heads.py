"""Parses the heads of requests, as strictly as RFC 9112 allows, and makes those of responses.

A regular expression checks the request line, and `httptools` parses the head when it is complete.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import httptools

from coderapi.server.limits import Limits
from kernel.http.call import Call, header_name, join_header, single_slashed
from kernel.http.errors import APIError
from kernel.http.responses import Answer

# One space between the parts. The target has no fragment.
REQUEST_LINE = re.compile(rb'([A-Z-]+) ([!"$-~]+) HTTP/(\d\.\d)\r\n')
PART_OF_LINE = re.compile(rb'([A-Z-]+)(?: ([!"$->@-~]*))?')
WHOLE_URL = re.compile(rb"https?://([^/?@]+)((?:[/?].*)?)", re.IGNORECASE)
LENGTH = re.compile(r"0|[1-9][0-9]{0,18}")
END_OF_LINE = b"\r\n"
END_OF_HEAD = b"\r\n\r\n"
# What Python decodes a byte to that is not valid UTF-8, and the byte as in a URL.
ENCODED = {0xDC00 + byte: f"%{byte:02X}" for byte in range(0x80, 0x100)}
VERSIONS = frozenset({b"1.0", b"1.1"})
# The space for the method and the version in a request line.
MAX_REST_OF_LINE = 64
# A longer head is not kept for the next request, so that idle connections need little memory.
MAX_KNOWN = 1024


def not_http() -> APIError:
    return APIError(400, "The request is not valid HTTP.")


def too_large() -> APIError:
    return APIError(431, "The head of the request is too large.")


class HeadParser:
    """Parses the heads of one connection.

    `version` and `headers` are those of the last head, also if it is not valid. `length` is its
    Content-Length, or None without one. `is_last` is true if no request may follow.
    """

    length: int | None = None
    is_chunked = is_last = False
    # The last valid head and its request. A client that polls sends the same head again.
    _known: tuple[bytes, Call] | None = None

    def __init__(self, limits: Limits, peer: str, scheme: str, server: str) -> None:
        self._limits, self._origin = limits, (peer, scheme, server)
        self.version, self.headers = "1.1", dict[str, str]()
        self._count = 0
        self._keeps = False
        self._renew()

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    # --- What the parser calls --------------------------------------------------------------------

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        self._count += 1
        is_long = len(raw_name) > self._limits.header_name_bytes
        if is_long or self._count > self._limits.headers:
            raise too_large()
        name, headers = header_name(raw_name), self.headers
        # RFC 9110, 5.5: the value does not include whitespace around it.
        value = raw_value.strip(b" \t").decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif name == "host":
            raise _one_host()
        else:
            join_header(headers, name, value)

    def on_headers_complete(self) -> None:
        if self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise APIError(501, "The only supported transfer coding is chunked.")
        self._keeps = self._parser.should_keep_alive()

    # --- Heads ------------------------------------------------------------------------------------

    @property
    def expects_interim(self) -> bool:
        """Returns whether the client waits for `100 Continue`, which HTTP/1.0 does not have."""
        return self.version == "1.1" and self.headers.get("expect", "").lower() == "100-continue"

    def call(self, method: str, path: str, query: str = "") -> Call:
        """Returns a request with the headers of the last head."""
        return Call(method, path, query, self.headers, *self._origin)

    def check_part(self, data: bytes) -> None:
        """Raises: APIError 400, 414, 431 or 505 if the beginning of a head is not valid."""
        self.headers, self._known = {}, None
        if b"\n" in data:
            self._check_line(data)
        elif not PART_OF_LINE.match(data):
            raise not_http()
        elif len(data) > self._limits.target_bytes + MAX_REST_OF_LINE:
            raise _url_too_long()
        if len(data) > self._limits.head_bytes or data.count(b"\n") > self._limits.headers + 1:
            raise too_large()

    def parse(self, data: bytes) -> Call:
        """Raises: APIError 400, 414, 431, 501 or 505, as RFC 9112 and RFC 9110 require."""
        if self._known and data == self._known[0]:
            return self._known[1]
        self.headers, self._known, self._count = {}, None, 0
        method, target, version = self._check_line(data)
        if len(data) > self._limits.head_bytes:
            raise too_large()
        is_upgrade = self._feed(data)
        headers = self.headers
        headers.pop("", None)
        if "host" not in headers and version != b"1.0":
            raise _one_host()
        if not target.startswith(b"/"):
            target = self._origin_form(method, target)
        path, _, query = target.partition(b"?")
        has_body = "content-length" in headers or "transfer-encoding" in headers
        self.length, self.is_chunked = self._framing(version) if has_body else (None, False)
        if has_body:
            # The old parser would wait for the body.
            self._renew()
        self.is_last = is_upgrade or version == b"1.0" or not self._keeps
        # Most paths contain no encoded character. The line is ASCII.
        decoded = _decoded(path) if b"%" in path else path.decode()
        call = self.call(method.decode(), single_slashed(decoded) or "/", query.decode())
        if len(data) <= MAX_KNOWN:
            self._known = data, call
        return call

    def _check_line(self, data: bytes) -> tuple[bytes, bytes, bytes]:
        line = REQUEST_LINE.match(data)
        if line is None:
            raise not_http()
        method, target, version = line.groups()
        self.version = version.decode()
        if len(target) > self._limits.target_bytes:
            raise _url_too_long()
        if version not in VERSIONS:
            raise APIError(505, "The supported versions are HTTP/1.1 and HTTP/1.0.")
        return method, target, version

    def _feed(self, data: bytes) -> bool:
        """Parses the fields. Returns whether the request asks for another protocol.

        None is supported. RFC 9110, 7.8 requires the server to handle the request as usual.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return True
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise (cause if isinstance(cause, APIError) else not_http()) from None
        return False

    def _origin_form(self, method: bytes, target: bytes) -> bytes:
        """Returns the path and query of a target that is a whole URL, or `*`.

        The host of the URL replaces the header (RFC 9112, 3.2.2).
        """
        if target == b"*" and method == b"OPTIONS":
            return target
        url = WHOLE_URL.fullmatch(target)
        if url is None:
            raise not_http()
        self.headers["host"] = url[1].decode()
        return url[2] if url[2].startswith(b"/") else b"/" + url[2]

    def _framing(self, version: bytes) -> tuple[int | None, bool]:
        """Returns the length of the body, or None, and whether it is sent in chunks."""
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if coding is None:
            if length is None:
                return None, False
            if not LENGTH.fullmatch(length):
                raise APIError(400, "The header Content-Length is not valid.")
            return int(length), False
        if length is not None or version == b"1.0":
            raise not_http()
        return None, True


def _decoded(path: bytes) -> str:
    """Returns the path as Django does: bytes that are not valid UTF-8 remain encoded."""
    return unquote_to_bytes(path).decode(errors="surrogateescape").translate(ENCODED)


def described(data: bytes) -> tuple[str, str]:
    """Returns the method and the path of a head that is not valid, for the access log."""
    found = PART_OF_LINE.match(data)
    if found is None or b"\r" in data[:1]:
        return "", ""
    path = unquote_to_bytes(found[2] or b"").decode(errors="surrogateescape")
    return found[1].decode(), path


def _one_host() -> APIError:
    return APIError(400, "A request must have one Host header.")


def _url_too_long() -> APIError:
    return APIError(414, "The URL is too long.")


# --- Responses --------------------------------------------------------------------------------

STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}" for each in HTTPStatus}


def head_of(answer: Answer, more: bytes = b"") -> bytes:
    """Returns the head of a response, with more lines."""
    return b"".join((_beginning(answer.status, int(time.time())), more, answer.lines, END_OF_LINE))


@lru_cache(maxsize=16)
def _beginning(status: int, now: int) -> bytes:
    return f"{STATUS_LINES[status]}\r\nDate: {formatdate(now, usegmt=True)}\r\n".encode()
