"""Normalizes origins to the form in which browsers send them in the Origin header."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

# Pages without an origin send this word: those in a sandbox and those from a file.
OPAQUE = "null"
MAX_ORIGIN = 255
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Unicode categories of letters, marks and digits: the other characters that names of hosts have.
_CATEGORIES = frozenset("LMN")


def normalized(texts: Iterable[str]) -> list[str]:
    """Returns each origin once, normalized. Raises: as `normalized_origin`."""
    return list(dict.fromkeys(map(normalized_origin, texts)))


def normalized_origin(text: str) -> str:
    """Returns the origin as browsers send it: lower case, punycode, no default port; or `null`.

    Raises: ValueError with a sentence for the operator.
    Source: HTML, "serialization of an origin"; URL, "host parsing".
    """
    text = _lowered(text.strip())
    if text == OPAQUE:
        return OPAQUE
    parts = _parts(text)
    host, port = _host(parts.hostname or "", text), parts.port
    suffix = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    origin = f"{parts.scheme}://{host}{suffix}"
    if len(origin) > MAX_ORIGIN:
        raise ValueError(f"The origin {text[:40]}… has more than {MAX_ORIGIN} characters.")
    return origin


def _lowered(text: str) -> str:
    # Each letter alone: for a whole word, Python's `lower` uses another sigma at the end.
    lowered = "".join(letter.lower() for letter in unicodedata.normalize("NFKC", text))
    return unicodedata.normalize("NFKC", lowered)


def _parts(text: str) -> SplitResult:
    """Returns the parts of an http or https origin. Raises: ValueError for other texts."""
    # urlsplit removes tabs and line ends silently.
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        raise ValueError(f"{text!r} is not an origin: remove the space or control character.")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it validates it
    except ValueError as error:
        raise ValueError(f"{text!r} is not an origin: {error}.") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{text!r} is not an origin such as https://coder.example.com.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} is more than an origin. Write only scheme, host and port.")
    return parts


def _host(host: str, text: str) -> str:
    if "*" in host:
        raise ValueError(f"{text!r} has a wildcard. Write each origin in full.")
    try:
        return f"[{_version_six(host)}]" if ":" in host else _named(host)
    except ValueError:
        raise ValueError(f"{text!r} is not an origin: its host is not valid.") from None


def _version_six(host: str) -> str:
    address = ipaddress.IPv6Address(host)
    # Python releases write these differently, and no page is served from such an address.
    if address.ipv4_mapped or address.scope_id:
        raise ValueError(host)
    return address.compressed


def _named(host: str) -> str:
    """Returns a name in punycode, or an IPv4 address."""
    labels = [_punycode(label) for label in host.split(".")]
    name = ".".join(labels)
    if len(name) > _MAX_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(host)
    # A host whose last part is a number must be an IPv4 address.
    return str(ipaddress.IPv4Address(name)) if _NUMBER.fullmatch(labels[-1]) else name


def _punycode(label: str) -> str:
    # Python's "idna" follows the standard of 2003, in which ß is ss. Browsers keep the ß.
    if label.isascii():
        return label
    if any(not c.isascii() and unicodedata.category(c)[0] not in _CATEGORIES for c in label):
        raise ValueError(label)
    return f"xn--{label.encode('punycode').decode()}"
