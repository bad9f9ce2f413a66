"""Matches reports with noise rules, and validates the patterns of rules.

Rules match only the scrubbed values of a report, so they match a stored report like a new one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from csp import trusted_types
from csp.directives import SCHEME
from csp.models import NoiseRule
from csp.scrubbing.address import DEFAULT_PORTS, ERROR_PAGE, Address

# Rules never hide reports about localhost, because developers need them. Rules hide reports about
# inline code, eval and Trusted Types only if the source file has another scheme or host than the
# page. Other code may be an attack.
_LOCALHOST = re.compile(r"(?:.+\.)?localhost\.?|127(?:\.[0-9]{1,3}){3}|::1")
CODE_KEYWORDS = frozenset({"inline", "eval", "wasm-eval", "self", "", *trusted_types.KEYWORDS})
_PATTERN_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_PATTERN_PATH = re.compile(r"(?P<host>[^/?#:@\s*]*)/[^?#\s]+")


type _Patterns = dict[str, dict[str, NoiseRule]]


@dataclass(slots=True)
class Rules:
    """The noise rules by site, target and pattern, so that matching is fast.

    The rules of the site "" match the reports of all sites.
    """

    by_site: dict[str, _Patterns] = field(default_factory=dict)

    def match(
        self, *, blocked: Address, source: Address, document: Address, user_agent: str, site: str
    ) -> NoiseRule | None:
        """Returns the first rule that matches the report, or None.

        The rules of the report's site come before those of all sites.
        """
        if is_never_noise(blocked, source, document):
            return None
        for name in (site, ""):
            if patterns := self.by_site.get(name):
                agents = patterns["user-agent"].values()
                rule = (
                    _address_rule(patterns, blocked)
                    or _address_rule(patterns, source)
                    or _scheme_rule(patterns["document-scheme"], document)
                    or next((each for each in agents if each.pattern in user_agent), None)
                )
                if rule:
                    return rule
        return None


def _address_rule(patterns: _Patterns, address: Address) -> NoiseRule | None:
    """Looks up the host, then `*.host` and `*.parent`, longest parent first, and then the path.

    The pattern of a path is its start. If it begins with a slash, it matches on every host.
    Otherwise, it begins with a host, and matches only on that host.
    """
    if not address.host:
        return _scheme_rule(patterns["scheme"], address)
    host, hosts = address.host, patterns["host"]
    found = hosts.get(host)
    while host and not found:
        found = hosts.get(f"*.{host}")
        host = host.partition(".")[2]
    path, of_host = address.path, address.host + address.path
    for rule in () if found else patterns["path"].values():
        if (path if rule.pattern.startswith("/") else of_host).startswith(rule.pattern):
            return rule
    return found


def _scheme_rule(rules: dict[str, NoiseRule], address: Address) -> NoiseRule | None:
    """Looks up the whole URI, such as the URI of Chrome's error page, and then its scheme."""
    return rules.get(address.text.lower()) or rules.get(address.scheme)


def compiled(rules: Iterable[NoiseRule]) -> Rules:
    result = Rules()
    for rule in rules:
        pattern = rule.pattern
        if rule.target == "host":
            pattern = pattern.lower()
        elif rule.target in {"scheme", "document-scheme"}:
            pattern = normalized_scheme(pattern)
        patterns = result.by_site.setdefault(
            rule.site, {target: {} for target in NoiseRule.Target.values}
        )
        patterns[rule.target][pattern] = rule
    return result


def normalized_scheme(pattern: str) -> str:
    """Returns the scheme in lower case, without `:` or `://` at its end."""
    return pattern.lower().removesuffix("//").removesuffix(":")


def is_never_noise(blocked: Address, source: Address, document: Address) -> bool:
    if blocked.host:
        return is_localhost(blocked.host)
    is_foreign = (source.scheme, source.host) != (document.scheme, document.host)
    return blocked.text.lower() in CODE_KEYWORDS and not (source.text and is_foreign)


def is_localhost(host: str) -> bool:
    """Returns whether the host always refers to the client's own computer.

    Source: RFC 6761, 6.3; RFC 1122.
    """
    return _LOCALHOST.fullmatch(host) is not None


def pattern_for(*, blocked: Address, source: Address, document: Address) -> tuple[str, str] | None:
    """Returns the target and the pattern of a rule for reports like this one, or None."""
    if is_never_noise(blocked, source, document):
        return None
    address = source if blocked.text.lower() in CODE_KEYWORDS else blocked
    if address.host:
        target, pattern = "host", address.host
    else:
        target, pattern = "scheme", address.scheme or address.text
    try:
        return target, checked_pattern(target, pattern)
    except ValueError:
        return None


def checked_pattern(target: str, pattern: str) -> str:
    """Returns the pattern in its normalized format.

    Raises: ValueError for a pattern that can never match. Its message explains what to write
    instead.
    """
    match target:
        case "scheme" | "document-scheme":
            return _checked_scheme(normalized_scheme(pattern.strip()))
        case "host":
            return _checked_host(pattern.strip().lower())
        case "path":
            return _checked_path(pattern.strip())
        case _:
            return pattern


def _checked_scheme(scheme: str) -> str:
    if scheme in CODE_KEYWORDS:
        raise ValueError(
            "Inline code and eval are never noise, because they may be an attack. Write the scheme "
            "or host of the source file instead."
        )
    if scheme in DEFAULT_PORTS:
        raise ValueError(
            f"The URLs of all sites begin with {scheme}. Choose the target host, and write a host."
        )
    if scheme != ERROR_PAGE and not SCHEME.fullmatch(scheme):
        raise ValueError("Write only a scheme, such as moz-extension, without host or path.")
    return scheme


def _checked_host(host: str) -> str:
    if not _PATTERN_HOST.fullmatch(host):
        raise ValueError(
            "Write only a host, without scheme, port or path, such as foo.example. Write "
            "*.foo.example for the host and its subdomains."
        )
    if is_localhost(host):
        raise ValueError(
            "Reports about localhost are never noise, because developers need them. Write another "
            "host, such as foo.example."
        )
    return host


def _checked_path(path: str) -> str:
    found = _PATTERN_PATH.fullmatch(path)
    if not found:
        raise ValueError(
            "Write the start of a path, without scheme and query, such as /inject/. Write "
            "foo.example/inject/ to match only on one host."
        )
    return found["host"].lower() + path[found.end("host") :]
