"""URLs, parsed as in Go's net/url, so that responses have the members that clients expect.

Python's urllib.parse handles validation, escapes and opaque URLs differently. Source: RFC 3986, and
Go's net/url.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from kernel.text.redaction import redact_url_passwords
from options.values.base import ValueRefusedError, ValueType

# The characters that are not escaped in each part of a URL, besides letters, digits and -_.~.
_IN_HOST = "!$&'()*+,;=:[]<>\""
_IN_USER = "$&+,;="
_IN_PATH = "$&+,/:;=@"
_IN_FRAGMENT = "$&+,/:;=?@!()*"
# These characters are not escaped if the input did not escape them.
_KEPT = "!$&'()*+,;=:@[]%"

_CONTROL = re.compile("[\x00-\x1f\x7f]")
# The scheme, the part up to the query, and the query. Every string matches.
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?([^?]*)\??(.*)")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
# In a host name, only non-ASCII bytes and the percent sign may be escaped. The port follows the
# last colon.
_HOST = re.compile(
    r"(?P<name>\[[^\[\]%]*+(?:%25[^\[\]]*)?\]|(?:[^\x00-\x7f]|[A-Za-z0-9_.~!$&'()*+,;=<>\"-]|%25"
    r"|%[89A-Fa-f][0-9A-Fa-f]|:(?=.*:))*+)(?P<port>:[0-9]*)?"
)
_INCOMPLETE_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")

MASK = "xxxxx"


@dataclass(frozen=True, slots=True, repr=False)
class ParsedURL:
    """The parts of a URL. `str()` returns the whole URL, including the password.

    `userinfo` is escaped. It is None if the URL has no @. In `path` and `fragment`, each byte that
    is not valid UTF-8 is represented by a surrogate.
    """

    scheme: str = ""
    opaque: str = ""
    userinfo: str | None = None
    host: str = ""
    path: str = ""
    raw_path: str = ""
    omit_host: bool = False
    force_query: bool = False
    raw_query: str = ""
    fragment: str = ""
    raw_fragment: str = ""

    def __bool__(self) -> bool:
        return self != _EMPTY

    def __str__(self) -> str:
        scheme = f"{self.scheme}:" if self.scheme else ""
        path = _written(self.path, self.raw_path, keep=_IN_PATH) if self.path != "*" else "*"
        query = f"?{self.raw_query}" if self.force_query or self.raw_query else ""
        fragment = _written(self.fragment, self.raw_fragment, keep=_IN_FRAGMENT)
        end = f"#{fragment}" if fragment else ""
        return f"{scheme}{self.opaque or self._authority() + path}{query}{end}"

    def __repr__(self) -> str:
        return f"ParsedURL({without_password(str(self))!r})"

    @property
    def origin(self) -> str:
        """Returns the origin as browsers send it."""
        return f"{self.scheme}://{self.host.lower()}"

    def _authority(self) -> str:
        if not (self.host or self.userinfo is not None):
            return "//" if self.scheme and self.path and not self.omit_host else ""
        host = quote(self.host, safe=_IN_HOST)
        return f"//{host}" if self.userinfo is None else f"//{self.userinfo}@{host}"


_EMPTY = ParsedURL()


@dataclass(frozen=True, slots=True)
class URL(ValueType[ParsedURL]):
    """A URL. If `schemes` is set, the URL must have one of these schemes and a host."""

    schemes: tuple[str, ...] = ()
    name = "url"
    accepted = "a URL such as https://coder.example.com"
    zero = _EMPTY

    def parse(self, text: str) -> ParsedURL:
        url = parse_url(text)
        if url and self.schemes and url.scheme not in self.schemes:
            raise ValueRefusedError(
                f"must begin with {' or '.join(f'{scheme}://' for scheme in self.schemes)}"
            )
        if url and self.schemes and not url.host:
            raise ValueRefusedError("has no host")
        return url


def parse_url(text: str) -> ParsedURL:
    """Parses a URL. Raises: ValueRefusedError."""
    before, _, fragment = text.partition("#")
    if _CONTROL.search(before):
        raise ValueRefusedError("has a control character")
    scheme, rest, query = _PARTS.findall(before)[0]
    if not scheme and rest.startswith(":"):
        raise ValueRefusedError("has no scheme before its first colon")
    members: dict[str, Any] = {"scheme": scheme.lower(), "raw_query": query}
    members["force_query"] = not query and "?" in before
    members["fragment"], members["raw_fragment"] = _decoded(fragment, keep=_IN_FRAGMENT)
    if before == "*":
        return ParsedURL(**members, path="*")
    if scheme and not rest.startswith("/"):
        return ParsedURL(**members, opaque=rest)
    if not rest.startswith("/") and ":" in rest.split("/")[0]:
        raise ValueRefusedError(
            "has a colon before the first slash, but no scheme such as https://"
        )
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        members |= _authority_members(authority)
        rest = slash + path
    else:
        members["omit_host"] = bool(scheme)
    members["path"], members["raw_path"] = _decoded(rest, keep=_IN_PATH)
    return ParsedURL(**members)


def _authority_members(authority: str) -> dict[str, Any]:
    userinfo, at, host = authority.rpartition("@")
    members: dict[str, Any] = {"host": _parse_host(host)}
    if at:
        if not _USERINFO.fullmatch(userinfo):
            problem = "has an unescaped special character in the user name or password"
            raise ValueRefusedError(problem)
        parts = userinfo.split(":", maxsplit=1)
        members["userinfo"] = ":".join(quote(_unescape(part), safe=_IN_USER) for part in parts)
    return members


def _parse_host(host: str) -> str:
    found = _HOST.fullmatch(host)
    if not found:
        raise ValueRefusedError("has an invalid host or port")
    name, port = _unescape(found["name"]).decode("utf-8", "replace"), found["port"] or ""
    if name.startswith("["):
        try:
            ipaddress.IPv6Address(name[1:-1])
        except ValueError:
            raise ValueRefusedError("has brackets around an invalid IPv6 address") from None
    return name + port


def _decoded(text: str, *, keep: str) -> tuple[str, str]:
    """Returns the decoded part of a URL and its raw form.

    The raw form is "" if escaping the decoded part gives the original string again.
    """
    raw = _unescape(text)
    return raw.decode("utf-8", "surrogateescape"), "" if quote(raw, safe=keep) == text else text


def _written(decoded: str, raw: str, *, keep: str) -> str:
    if raw and quote(raw, safe=keep + _KEPT) == raw:
        return raw
    return quote(decoded, safe=keep, errors="surrogateescape")


def _unescape(text: str) -> bytes:
    if _INCOMPLETE_ESCAPE.search(text):
        raise ValueRefusedError("has a percent sign without two hexadecimal digits")
    return unquote_to_bytes(text)


def without_password(text: str) -> str:
    """Masks the passwords in all URLs in the text, including malformed URLs."""
    return redact_url_passwords(text, mask=MASK)
