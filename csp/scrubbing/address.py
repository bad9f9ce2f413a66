"""Parses URLs, and removes private data from them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from csp.directives import SCHEME
from csp.scrubbing.coder_addresses import path_template, private_host, private_segments
from csp.scrubbing.encodings import MAX_WORD, MAY_CHANGE, decoded, shortened
from csp.scrubbing.masking import MASK, MAX_ROUNDS, masked

# The site of all pages whose origin is not known (see `csp.writing.terms`).
OTHER_SITE = "other"
MAX_URI = 2048
MAX_PAGE = 1024
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
_EXTENSION = re.compile(r"//(?:[^/?#@]*@)?([A-Za-z0-9._-]{1,64})")
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


class Address(NamedTuple):
    """A URI without private data, and its parts. Parsing its text again returns an equal address.

    Only a web URL has a host. `port` is None for the default port. The `authority` is the host and
    the port as a URL contains them. The scheme of a word, such as `inline`, is the word, because
    for most URLs without a host, only the scheme is stored. `scheme` is "" for a path, and `origin`
    for a URL without a scheme or a host.
    """

    text: str
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    authority: str = ""
    origin: str = ""

    @property
    def source(self) -> str:
        """Returns the narrowest source of a policy that allows the address, or "" if none does."""
        return self.origin or (f"{self.scheme}:" if self.scheme else "")

    @property
    def word(self) -> str:
        """Returns the scheme, or the text of an address without a scheme."""
        return shortened(self.scheme or self.text, MAX_WORD)

    @property
    def page(self) -> str:
        """Returns the kind of page: the URL with placeholders for names, numbers and ids."""
        if not self.host:
            return self.word
        page = f"{self.origin or '//'}{masked(path_template(self.path))}"
        return shortened(page, MAX_PAGE)

    def site(self, sites: Collection[str]) -> str:
        """Returns the site of a page: its origin if it is one of the sites, or `other`."""
        return self.origin if self.origin in sites else OTHER_SITE


def address_of(uri: str) -> Address:
    """Parses the URI, and removes query, fragment, credentials, tokens and names from it.

    A web URL or a path is cut at the first `?`, `#` or `;`. For a browser extension, the text is
    the scheme and the host, because the host is the extension's id. For any other scheme, the text
    is only the scheme. If a part was replaced, the text is parsed again, because it may have
    private data too.
    """
    return _scrubbed(uri if len(uri) <= MAX_URI else shortened(uri, MAX_URI))


@lru_cache(maxsize=2048)
def _scrubbed(uri: str) -> Address:
    for _ in range(MAX_ROUNDS):
        uri = decoded(uri) if MAY_CHANGE.search(uri) else uri
        address = _address(uri)
        text = address.text
        if len(text) > MAX_URI:
            text = shortened(text, MAX_URI)
        if uri == text or (address.host and uri.startswith(text) and _END.match(uri, len(text))):
            return address
        uri = text
    return Address(MASK)


@lru_cache(maxsize=2048)
def _address(uri: str) -> Address:
    if web := _WEB.match(uri):
        scheme, ip, name, digits, path = web.groups(default="")
        port = int(digits) if digits else None
        host = ip.lower() or name.lower().rstrip(".")
        if "--" in host:
            host = private_host(host)
        if port is None or port <= MAX_PORT:
            return _web_address(scheme.lower(), host, port, path)
    return _other_address(uri)


def _web_address(scheme: str, host: str, port: int | None, path: str) -> Address:
    if port == DEFAULT_PORTS.get(scheme):
        port = None
    authority, path = _authority(host, port), _scrubbed_path(path)
    if masked(authority) != authority:
        # A port after a host such as `token` looks like a secret.
        host, port = masked(host), None
        authority = _authority(host, port)
    origin = f"{scheme}://{authority}" if scheme else ""
    text = f"{origin or f'//{authority}'}{path}"
    return Address(text, scheme, host, port, path, authority, origin)


def _authority(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


def _other_address(uri: str) -> Address:
    """Returns the address of a URI without a host, or of a word or a path."""
    start, colon, _ = uri.partition(":")
    scheme = start.lower()
    if not SCHEME.fullmatch(scheme):
        return Address(_scrubbed_path(uri))
    if not colon:
        return Address(_scrubbed_path(uri), masked(scheme))
    if uri == ERROR_PAGE:
        return Address(uri, scheme)
    id = _EXTENSION.match(uri, len(scheme) + 1) if "extension" in scheme else None
    return Address(masked(f"{scheme}://{id[1]}" if id else scheme), masked(scheme))


def _scrubbed_path(path: str) -> str:
    # The whole string is one path, so white space must not end the path.
    whole = _BLANK.sub("%20", _END.split(path, maxsplit=1)[0])
    whole = private_address(whole)
    # Placeholders can make the path four times as long, so shorten it before masking.
    return masked(whole if len(whole) <= MAX_URI else shortened(whole, MAX_URI))


def without_query(uri: str) -> str:
    """Returns the URL without query and credentials, but with all names and tokens, shortened."""
    bare = _CREDENTIALS.sub("//", _END.split(uri, maxsplit=1)[0], count=1)
    return bare if len(bare) <= MAX_URI else shortened(bare, MAX_URI)


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
        # Remove the part after the colon if it is not a port, because it may be a password.
        name, _, port = host.partition(":")
        return private_host(host if host.startswith("[") or _PORT.fullmatch(port) else name)
    # `react@18.2.0` is a package and is kept. `user:password@host` has a colon before the @.
    if at and (not before or ":" in user):
        segment = host
    return segment if before else private_host(segment)
