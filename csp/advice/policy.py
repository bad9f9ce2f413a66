"""Parses a Content-Security-Policy, and decides whether it allows a blocked source.

Source: CSP Level 3. The docstrings name its sections. Nonces and hashes never match a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote

from csp.directives import FETCH, SCHEME
from csp.scrubbing.address import DEFAULT_PORTS, Address, address_of
from csp.trusted_types import POLICY as TRUSTED_TYPES_POLICY
from csp.trusted_types import split_source

# CSP 3, 6.8.3: "Get fetch directive fallback list". If a policy lacks a directive, browsers apply
# the first one in this list that the policy has, and at last default-src.
_FALLBACKS = {
    "script-src-elem": ("script-src",),
    "script-src-attr": ("script-src",),
    "style-src-elem": ("style-src",),
    "style-src-attr": ("style-src",),
    "worker-src": ("child-src", "script-src"),
    "frame-src": ("child-src",),
    "fenced-frame-src": ("frame-src", "child-src"),
}
# A scheme in a policy also allows these schemes of a URL (CSP 3, 6.7.2.9: "scheme-part match").
_UPGRADES = {
    "http": frozenset({"http", "https"}),
    "ws": frozenset({"ws", "wss", "http", "https"}),
    "wss": frozenset({"wss", "https"}),
}
# A host with other characters could end a directive and begin another one in a suggested policy.
_HOST = re.compile(r"[a-z0-9_.-]*|[0-9a-f:.]*")
HOST_SOURCE = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?"
    r"(?P<host>\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]+|\*))?(?P<path>/[^?#]*)?",
    re.IGNORECASE,
)


type Policy = Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=512)
def parse(text: str) -> Policy:
    """Returns the sources of each directive. If a directive is repeated, the first one counts.

    Source: CSP 3, 2.2.1, "Parse a serialized CSP". A header can contain several policies, separated
    by commas. Browsers report only the one that was violated.
    """
    policy: dict[str, tuple[str, ...]] = {}
    for part in text.split(";"):
        name, *sources = part.split() or [""]
        if name:
            policy.setdefault(name.lower(), tuple(sources))
    return policy


def governing_directive(policy: Policy, directive: str) -> str:
    """Returns the directive of the policy that applies to `directive`, or "" if none applies.

    Source: CSP 3, 6.8.3 and 6.8.4.
    """
    candidates = (directive, *_FALLBACKS.get(directive, ()))
    if directive in FETCH:
        candidates += ("default-src",)
    return next((name for name in candidates if name in policy), "")


def is_nameable(url: Address) -> bool:
    """Returns whether a source can name the address: a web URL, or another scheme.

    But a scheme whose URLs have a host needs one, because browsers report the host, and because a
    source such as `https:` allows every host.
    """
    if url.host:
        return bool(url.scheme) and _HOST.fullmatch(url.host) is not None
    return url.scheme not in DEFAULT_PORTS and SCHEME.fullmatch(url.scheme) is not None


def permits(policy: Policy, directive: str, source: str, page: Address) -> bool:
    """Returns whether the policy of `page` permits a source that another policy blocked.

    The source is a URL, or a keyword such as `inline`. Reports do not contain the nonce or the hash
    of a source, so these never permit it. Beside them, browsers ignore 'unsafe-inline' (CSP 3,
    6.7.3.2), and beside 'strict-dynamic', they ignore hosts.
    """
    governing = governing_directive(policy, directive)
    if not governing:
        return True
    keyword, name = split_source(source)
    if keyword:
        return keyword == TRUSTED_TYPES_POLICY and not {name, "*"}.isdisjoint(policy[governing])
    sources = [each.lower() for each in policy[governing]]
    if source == "inline":
        return "'unsafe-inline'" in sources and not any(map(is_strict, sources))
    if source in _EVAL:
        return not _EVAL[source].isdisjoint(sources)
    url = address_of(source)
    is_known = is_nameable(url) and "'strict-dynamic'" not in sources
    return is_known and is_allowed(policy, directive, url, page)


_EVAL = {
    "eval": frozenset({"'unsafe-eval'"}),
    "wasm-eval": frozenset({"'unsafe-eval'", "'wasm-unsafe-eval'"}),
}
_STRICT = ("'nonce-", "'sha256-", "'sha384-", "'sha512-", "'strict-dynamic'")


def without_none(sources: Iterable[str]) -> list[str]:
    """Returns the sources without 'none'. Beside other sources, browsers warn of it."""
    return [source for source in sources if source.lower() != "'none'"]


def is_strict(source: str) -> bool:
    """Returns whether browsers ignore 'unsafe-inline' beside this source, in lower case."""
    return source.startswith(_STRICT)


def is_allowed(policy: Policy, directive: str, url: Address, page: Address) -> bool:
    """Returns whether the policy of `page` allows the URL for that directive.

    A policy without an applicable directive allows every URL. An empty list of sources and 'none'
    match nothing. Source: CSP 3, 6.7.2.7, "Does url match source list in origin with redirect
    count?".
    """
    governing = governing_directive(policy, directive)
    return not governing or any(matches(source, url, page) for source in policy[governing])


def matches(source: str, url: Address, page: Address) -> bool:
    """Returns whether one source expression matches the URL, for a page of that address.

    Source: CSP 3, 6.7.2.8, "Does url match expression in origin with redirect count?". Reports
    contain the URL before redirects, so the redirect count is always 0.
    """
    if source == "*":
        return url.scheme in {*DEFAULT_PORTS, page.scheme}
    if source.lower() == "'self'":
        return _is_self(url, page)
    if source.endswith(":") and SCHEME.fullmatch(source[:-1].lower()):
        return _scheme_matches(source[:-1], url.scheme)
    found = HOST_SOURCE.fullmatch(source)
    if found is None or not url.host:
        return False
    return (
        _scheme_matches(found["scheme"] or page.scheme, url.scheme)
        and _host_matches(found["host"].lower(), url.host)
        and _port_matches(found["port"], url)
        and _path_matches(found["path"] or "", url.path)
    )


def _is_self(url: Address, page: Address) -> bool:
    """Returns whether the URL has the page's origin, or a safer scheme of the same host."""
    if url.host and url.origin == page.origin:
        return True
    is_safer = url.scheme in {"https", "wss"} or (page.scheme, url.scheme) == ("http", "ws")
    return url.host == page.host and url.port == page.port and is_safer


def _scheme_matches(expected: str, scheme: str) -> bool:
    """Returns whether the scheme or its secure variant matches. Source: CSP 3, 6.7.2.9."""
    expected = expected.lower()
    return scheme in _UPGRADES.get(expected, {expected})


def _host_matches(pattern: str, host: str) -> bool:
    """Returns whether a host source matches the host. Source: CSP 3, 6.7.2.10.

    `*.example.com` matches subdomains, but not the host itself. A host source never matches an IP
    address other than 127.0.0.1.
    """
    if pattern.startswith("*"):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return pattern == host and is_matchable(host)


def is_matchable(host: str) -> bool:
    """Returns whether a host source can match the host: a name, or 127.0.0.1."""
    try:
        ip_address(host)
    except ValueError:
        return True
    return host == "127.0.0.1"


def _port_matches(port: str | None, url: Address) -> bool:
    """Returns whether the URL has the port, or by default, the default port of its scheme.

    Source: CSP 3, 6.7.2.11.
    """
    if port == "*" or (port is None and url.port is None):
        return True
    return port is not None and int(port) == (url.port or DEFAULT_PORTS.get(url.scheme))


def _path_matches(pattern: str, path: str) -> bool:
    """Returns whether the path matches. A final slash in the pattern matches all paths below it.

    Source: CSP 3, 6.7.2.12.
    """
    if pattern in {"", "/"}:
        return True
    wanted, found = pattern.split("/"), path.split("/")
    if pattern.endswith("/") and len(found) >= len(wanted):
        wanted, found = wanted[:-1], found[: len(wanted) - 1]
    return list(map(unquote, wanted)) == list(map(unquote, found))
