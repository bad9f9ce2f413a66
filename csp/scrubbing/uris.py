"""Takes addresses apart, and cuts out their private parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from csp.parsing.formats import MAX_URI, shortened
from csp.scrubbing.coder_addresses import private_host, private_segments
from csp.scrubbing.encodings import decoded
from csp.scrubbing.masking import masked, remembered, until_stable

WEB_SCHEMES = frozenset({"http", "https", "ws", "wss"})
DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
# Chrome's name for its own page about an error: the only address without a host that is kept whole.
ERROR_PAGE = "data:text/html,chromewebdata"
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[\w.{}~:*-]+")
_PORT = re.compile(r"[0-9]{1,5}|\*")
_AUTHORITY = re.compile(r"//(?:[^/?#@]*@)?([A-Za-z0-9._-]{1,64})")
# Parameters of a path begin with a semicolon. An address in an address has its own marks encoded.
_END = re.compile(r"[?#;]|%3[fFbB]|%23")
# Most paths hold nothing of the kind, and are not taken apart.
_PRIVATE = re.compile(r"@|//|--|(?i:(?:^|/)(?:users|home|members|templates)/)")
# On Windows a home directory is behind backslashes.
_BACKSLASHES = re.compile(r"\\+")
_HOME_DIRECTORY = re.compile(r"(?i)[/\\](?:users|home)[/\\]")
_ESCAPED_SLASH = re.compile(r"(?i)%(?:2f|5c)")
_CREDENTIALS = re.compile(r"//[^/]+@")
_BLANK = re.compile(r"\s")


def split_web(uri: str) -> SplitResult | None:
    """Returns the parts of an http, https, ws or wss address; None for anything else."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        # A port that is no number, or half a pair of brackets.
        return None
    known = parts.scheme in WEB_SCHEMES and _HOST.fullmatch((parts.hostname or "").rstrip("."))
    return parts if known else None


def scheme_of(uri: str) -> str:
    """Returns an address's scheme, or the bare scheme; "" for a keyword or a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower() if colon and SCHEME.fullmatch(scheme.lower()) else ""


def host_of(parts: SplitResult) -> str:
    """Returns host, and port if it is not the scheme's own, without anybody's name."""
    host = private_host((parts.hostname or "").rstrip("."))
    shown = f"[{host}]" if ":" in host else host
    standard = parts.port in (None, DEFAULT_PORTS[parts.scheme])
    return shown if standard else f"{shown}:{parts.port}"


@remembered(2048)
@until_stable
def scrubbed_uri(uri: str) -> str:
    """Cuts query, fragment, credentials, tokens and names out of the address.

    It ends at the first mark of a query, a fragment or a parameter, whatever follows. Of other
    schemes than the web's only the host stays, and only of an extension, whose id it is.
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
    # It is one address, so what stands behind a blank belongs to it.
    whole = _BLANK.sub("%20", _END.split(path, maxsplit=1)[0])
    # Placeholders make it longer, up to four times; so the text is cut before it is masked.
    return masked(shortened(private_address(whole), MAX_URI))


def origin_of(uri: str) -> str:
    parts = split_web(uri)
    return f"{parts.scheme}://{masked(host_of(parts))}" if parts else ""


def page_of(uri: str) -> str:
    """Returns the address up to its query, without credentials, to tell pages apart."""
    return _CREDENTIALS.sub("//", _END.split(uri, maxsplit=1)[0], count=1)


def private_address(text: str) -> str:
    """Cuts credentials and names of people out of a path, an address, or a text with one.

    Its marks are plain ones (`decoded`).
    """
    if _ESCAPED_SLASH.search(text):
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
        # As in `/@alice`, which is for others to replace.
        return segment if before else private_host(segment)
    if len(before) > 1 and not before[-1]:
        return private_host(_host_and_port(host))
    # `react@18.2.0` is a package; with a password it is somebody's account.
    if at and (not before or ":" in user):
        segment = host
    return segment if before else private_host(segment)


def _host_and_port(authority: str) -> str:
    """Drops a port that is no number: it is half of a user's name and password."""
    host, _, port = authority.partition(":")
    keep = authority.startswith("[") or _PORT.fullmatch(port)
    return authority if keep else host
