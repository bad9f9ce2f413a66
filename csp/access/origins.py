"""Normalizes origins to the format in which browsers send them in the Origin header."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from idna import IDNAError, uts46_remap

from kernel.text.hosts import ascii_host

# The Origin header of a page without an origin, such as a sandboxed page or a local file.
OPAQUE = "null"
MAX_ORIGIN = 255
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_HOST = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def normalized(texts: Iterable[str]) -> list[str]:
    """Returns the normalized origins without duplicates. Raises: ValueError for an invalid one."""
    return list(dict.fromkeys(map(normalized_origin, texts)))


def normalized_origin(text: str) -> str:
    """Returns the origin as browsers send it: lower case, punycode, no default port; or `null`.

    Raises: ValueError. Its message is a whole sentence for the operator.
    Source: HTML, "serialization of an origin"; URL, "host parsing"; UTS 46.
    """
    try:
        # Lower case, and the characters that browsers write in a host.
        text = uts46_remap(text.strip(), std3_rules=False)
    except IDNAError:
        raise ValueError(f"{text!r} is not an origin: its host is not valid.") from None
    if text == OPAQUE:
        return OPAQUE
    parts = _parts(text)
    host, port = _host(parts.hostname or "", text), parts.port
    suffix = "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    origin = f"{parts.scheme}://{host}{suffix}"
    if len(origin) > MAX_ORIGIN:
        raise ValueError(f"The origin {text[:40]}… has more than {MAX_ORIGIN} characters.")
    return origin


def _parts(text: str) -> SplitResult:
    """Returns the parts of an http or https origin. Raises: ValueError for any other string."""
    # Check for white space first, because urlsplit removes tabs and line breaks silently.
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
        raise ValueError(f"{text!r} is more than an origin. Enter only the scheme, host and port.")
    return parts


def _host(host: str, text: str) -> str:
    if "*" in host:
        raise ValueError(f"{text!r} has a wildcard. Enter each origin in full.")
    try:
        if ":" not in host:
            return _named(host)
        address = ipaddress.IPv6Address(host)
        # Reject IPv4-mapped addresses and addresses with a zone. Their format differs
        # between Python versions, and no page is served from such an address.
        if not address.ipv4_mapped and not address.scope_id:
            return f"[{address.compressed}]"
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not an origin: its host is not valid.")


def _named(host: str) -> str:
    """Returns the host name in punycode, or the IPv4 address."""
    name = ascii_host(host)
    labels = name.split(".")
    if len(name) > _MAX_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(host)
    # If the last label is a number, the host must be an IPv4 address.
    return str(ipaddress.IPv4Address(name)) if _NUMBER.fullmatch(labels[-1]) else name
