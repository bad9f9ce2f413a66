"""Parses URLs, and removes private data from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from csp.directives import SCHEME
from csp.parsing.formats import MAX_URI, shortened
from csp.scrubbing.coder_addresses import private_host, private_segments
from csp.scrubbing.encodings import decoded
from csp.scrubbing.masking import MASK, MAX_ROUNDS, cached, masked

WEB_SCHEMES = frozenset({"http", "https", "ws", "wss"})
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
MAX_PORT = 65_535
# The URL of Chrome's error page. It is the only URL without a host that is kept in full.
ERROR_PAGE = "data:text/html,chromewebdata"
# A URL with a host. `//host/path` has no scheme. Parts: scheme, IPv6 address, host, port, path.
_WEB = re.compile(
    r"(?i)(?:(https?|wss?):)?//(?:[^/?#]*@)?"
    r"(?:\[([\w.:]+)\]|([\w{}~*-][\w.{}~*-]*))(?::([0-9]{0,5}))?(?![^/?#])([^?#]*)"
)
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


@dataclass(frozen=True, slots=True)
class Address:
    """A URI without private data, and its parts.

    A web URL has an authority: its host without names of users, and its port unless it is the
    default port. `scheme` is "" for a keyword or a path.
    """

    text: str
    scheme: str = ""
    authority: str = ""
    path: str = ""

    @property
    def host(self) -> str:
        if self.authority.startswith("["):
            return self.authority[1:].partition("]")[0]
        return self.authority.partition(":")[0]


@cached(2048)
def address_of(uri: str) -> Address:
    """Parses the URI, and removes query, fragment, credentials, tokens and names from it.

    A web URL or a path is cut at the first `?`, `#` or `;`. For a browser extension, the text is
    the scheme and the host, because the host is the extension's id. For any other scheme, the text
    is only the scheme. If a part was replaced, the text is parsed again, because it may have
    private data too.
    """
    for _ in range(MAX_ROUNDS):
        uri = decoded(uri)
        address = _address(uri)
        text = address.text
        if uri == text or (uri.startswith(text) and _END.match(uri, len(text))):
            short = shortened(text, MAX_URI)
            return address if short == text else replace(address, text=short)
        uri = text
    return Address(MASK)


@cached(2048)
def _address(uri: str) -> Address:
    if (web := _WEB.match(uri)) and (authority := _authority(web)):
        scheme, path = (web[1] or "").lower(), _scrubbed_path(web[5])
        start = f"{scheme}://" if scheme else "//"
        return Address(f"{start}{authority}{path}", scheme, authority, path)
    scheme = scheme_of(uri)
    if not scheme:
        return Address(_scrubbed_path(uri))
    if uri == ERROR_PAGE:
        return Address(uri, scheme)
    host = _AUTHORITY.match(uri, len(scheme) + 1) if "extension" in scheme else None
    return Address(masked(f"{scheme}://{host[1]}" if host else scheme), masked(scheme))


def scheme_of(uri: str) -> str:
    """Returns the scheme in lower case, or "" for a keyword or a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon and SCHEME.fullmatch(scheme.lower()) else ""


def _authority(web: re.Match[str]) -> str:
    """Returns the host and the port of a URL, without private data; "" for an invalid port."""
    scheme, ip, name, digits, _ = web.groups()
    host = f"[{ip.lower()}]" if ip else private_host(name.lower().rstrip("."))
    port = int(digits) if digits else None
    if port is not None and port > MAX_PORT:
        return ""
    is_default = port is None or port == DEFAULT_PORTS.get((scheme or "").lower())
    return masked(host if is_default else f"{host}:{port}")


def _scrubbed_path(path: str) -> str:
    # The whole string is one path, so white space must not end the path.
    whole = _BLANK.sub("%20", _END.split(path, maxsplit=1)[0])
    # Placeholders can make the path four times as long, so shorten it before masking.
    return masked(shortened(private_address(whole), MAX_URI))


def origin_of(uri: str) -> str:
    web = _WEB.match(uri)
    authority = _authority(web) if web and web[1] else ""
    return f"{web[1].lower()}://{authority}" if web and authority else ""


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
