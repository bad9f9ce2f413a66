"""Parses URLs, and removes private data from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from csp.parsing.formats import MAX_URI, shortened
from csp.scrubbing.coder_addresses import private_host, private_segments
from csp.scrubbing.encodings import decoded
from csp.scrubbing.masking import cached, masked, until_stable

WEB_SCHEMES = frozenset({"http", "https", "ws", "wss"})
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
# The URL of Chrome's error page. It is the only URL without a host that is kept in full.
ERROR_PAGE = "data:text/html,chromewebdata"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[\w.{}~:*-]+")
_PORT = re.compile(r"[0-9]{1,5}|\*")
_AUTHORITY = re.compile(r"//(?:[^/?#@]*@)?([A-Za-z0-9._-]{1,64})")
# The characters at which a URL is cut. A semicolon begins the parameters of a path. If a URL is
# part of another URL, these characters are escaped in it.
_END = re.compile(r"[?#;]|%3[fFbB]|%23")
# Only paths that match this may contain names or credentials. Other paths are not parsed.
_PRIVATE = re.compile(r"@|//|--|(?i:(?:^|/)(?:users|home|members|templates)/)")
# Paths of home directories on Windows contain backslashes.
_BACKSLASHES = re.compile(r"\\+")
_HOME_DIRECTORY = re.compile(r"(?i)[/\\](?:users|home)[/\\]")
_ESCAPED_SLASH = re.compile(r"(?i)%(?:2f|5c)")
_CREDENTIALS = re.compile(r"//[^/]+@")
_BLANK = re.compile(r"\s")


def split_web(uri: str) -> SplitResult | None:
    """Returns the parts of an http, https, ws or wss URL, or None for any other URI."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        # The port is not a number, or a bracket of an IPv6 address is missing.
        return None
    known = parts.scheme in WEB_SCHEMES and _HOST.fullmatch((parts.hostname or "").rstrip("."))
    return parts if known else None


def scheme_of(uri: str) -> str:
    """Returns the scheme in lower case, or "" for a keyword or a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon and SCHEME.fullmatch(scheme.lower()) else ""


def host_of(parts: SplitResult) -> str:
    """Returns the host without names of users, with the port unless it is the default port."""
    host = private_host((parts.hostname or "").rstrip("."))
    host = f"[{host}]" if ":" in host else host
    is_default = parts.port in (None, DEFAULT_PORTS[parts.scheme])
    return host if is_default else f"{host}:{parts.port}"


@until_stable
@cached(2048)
def scrubbed_uri(uri: str) -> str:
    """Removes query, fragment, credentials, tokens and names from the URI.

    A web URL or a path is cut at the first `?`, `#` or `;`. For a browser extension, the result is
    the scheme and the host, because the host is the extension's id. For any other scheme, the
    result is only the scheme.
    """
    uri = decoded(uri)
    parts = split_web(uri)
    if parts is not None:
        return f"{parts.scheme}://{masked(host_of(parts))}{_scrubbed_path(parts.path)}"
    scheme = scheme_of(uri)
    if not scheme:
        return _scrubbed_path(uri)
    if uri == ERROR_PAGE:
        return uri
    authority = _AUTHORITY.match(uri, len(scheme) + 1) if "extension" in scheme else None
    return masked(f"{scheme}://{authority[1]}" if authority else scheme)


def _scrubbed_path(path: str) -> str:
    # The whole string is one path, so white space must not end the path.
    whole = _BLANK.sub("%20", _END.split(path, maxsplit=1)[0])
    # Placeholders can make the path four times as long, so shorten it before masking.
    return masked(shortened(private_address(whole), MAX_URI))


def origin_of(uri: str) -> str:
    parts = split_web(uri)
    return f"{parts.scheme}://{masked(host_of(parts))}" if parts else ""


def page_of(uri: str) -> str:
    """Returns the URL without query and credentials. Pages with equal results count as one page."""
    return _CREDENTIALS.sub("//", _END.split(uri, maxsplit=1)[0], count=1)


def private_address(text: str) -> str:
    """Removes credentials and names of users from a path, a URL, or a decoded string."""
    if "%" in text and _ESCAPED_SLASH.search(text):
        # The URL contains another URL with escaped slashes. Decode the slashes, because a name may
        # follow a slash. Remove credentials first, because a password may contain an escaped slash.
        text = _ESCAPED_SLASH.sub("/", _CREDENTIALS.sub("//", text))
    if "\\" in text and _HOME_DIRECTORY.search(text):
        text = _BACKSLASHES.sub("/", text)
    if not _PRIVATE.search(text):
        return text
    bare: list[str] = []
    for segment in text.split("/"):
        bare.append(_without_credentials(segment, bare))
    return "/".join(private_segments(bare))


def _without_credentials(segment: str, before: Sequence[str]) -> str:
    if before and before[-1] and "@" not in segment:
        return segment
    user, at, host = segment.rpartition("@")
    if at and not user:
        # `private_segments` replaces a user such as `/@alice`.
        return segment if before else private_host(segment)
    if len(before) > 1 and not before[-1]:
        return private_host(_host_and_port(host))
    # `react@18.2.0` is a package and is kept. `user:password@host` has a colon before the @.
    if at and (not before or ":" in user):
        segment = host
    return segment if before else private_host(segment)


def _host_and_port(authority: str) -> str:
    """Removes the part after the colon if it is not a port, because it may be a password."""
    host, _, port = authority.partition(":")
    keep = authority.startswith("[") or _PORT.fullmatch(port)
    return authority if keep else host
