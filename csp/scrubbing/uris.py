"""Parses addresses, and removes their private parts."""

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
# Chrome's own error page. It is the only address without a host that is kept whole.
ERROR_PAGE = "data:text/html,chromewebdata"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[\w.{}~:*-]+")
_PORT = re.compile(r"[0-9]{1,5}|\*")
_AUTHORITY = re.compile(r"//(?:[^/?#@]*@)?([A-Za-z0-9._-]{1,64})")
# Parameters of a path begin with a semicolon. An address within an address has encoded marks.
_END = re.compile(r"[?#;]|%3[fFbB]|%23")
# Most paths contain none of these, and are not parsed.
_PRIVATE = re.compile(r"@|//|--|(?i:(?:^|/)(?:users|home|members|templates)/)")
# On Windows a home directory is behind backslashes.
_BACKSLASHES = re.compile(r"\\+")
_HOME_DIRECTORY = re.compile(r"(?i)[/\\](?:users|home)[/\\]")
_ESCAPED_SLASH = re.compile(r"(?i)%(?:2f|5c)")
_CREDENTIALS = re.compile(r"//[^/]+@")
_BLANK = re.compile(r"\s")


def split_web(uri: str) -> SplitResult | None:
    """Returns the parts of an http, https, ws or wss address, or None."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        # The port is not a number, or a bracket is missing.
        return None
    known = parts.scheme in WEB_SCHEMES and _HOST.fullmatch((parts.hostname or "").rstrip("."))
    return parts if known else None


def scheme_of(uri: str) -> str:
    """Returns the scheme, or "" for a keyword or a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon and SCHEME.fullmatch(scheme.lower()) else ""


def host_of(parts: SplitResult) -> str:
    """Returns the host without names of people, and the port unless it is the default."""
    host = private_host((parts.hostname or "").rstrip("."))
    host = f"[{host}]" if ":" in host else host
    is_default = parts.port in (None, DEFAULT_PORTS[parts.scheme])
    return host if is_default else f"{host}:{parts.port}"


@until_stable
@cached(2048)
def scrubbed_uri(uri: str) -> str:
    """Removes query, fragment, credentials, tokens and names from the address.

    The result ends at the first mark of a query, a fragment or a parameter. Of an address of an
    extension, scheme and host stay, because the host is its id. Of other schemes, only the scheme.
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
    # The text is one address, so a blank does not end it.
    whole = _BLANK.sub("%20", _END.split(path, maxsplit=1)[0])
    # Placeholders make the text up to four times longer, so it is shortened before masking.
    return masked(shortened(private_address(whole), MAX_URI))


def origin_of(uri: str) -> str:
    parts = split_web(uri)
    return f"{parts.scheme}://{masked(host_of(parts))}" if parts else ""


def page_of(uri: str) -> str:
    """Returns the address up to its query, without credentials, as the identity of a page."""
    return _CREDENTIALS.sub("//", _END.split(uri, maxsplit=1)[0], count=1)


def private_address(text: str) -> str:
    """Removes credentials and names of people from a path, an address, or a decoded text."""
    if "%" in text and _ESCAPED_SLASH.search(text):
        # An address within an address: names follow its slashes too. A password may hold one.
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
        # `/@alice` is replaced in `private_segments`.
        return segment if before else private_host(segment)
    if len(before) > 1 and not before[-1]:
        return private_host(_host_and_port(host))
    # `react@18.2.0` is a package. With a colon before the @ it is user and password.
    if at and (not before or ":" in user):
        segment = host
    return segment if before else private_host(segment)


def _host_and_port(authority: str) -> str:
    """Removes a port that is not a number: it is part of user and password."""
    host, _, port = authority.partition(":")
    keep = authority.startswith("[") or _PORT.fullmatch(port)
    return authority if keep else host
