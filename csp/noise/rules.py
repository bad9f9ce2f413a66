"""Matches reports with noise rules, and validates the patterns of rules.

Rules match only the scrubbed values of a report, so they match a stored report like a new one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from csp import trusted_types
from csp.directives import SCHEME
from csp.scrubbing.address import DEFAULT_PORTS, ERROR_PAGE, Address

# Rules never hide reports about localhost, because developers need them. Rules hide reports about
# inline code, eval and Trusted Types only if the source file has another scheme or host than the
# page. Other code may be an attack.
_LOCALHOST = re.compile(r"(?:.+\.)?localhost\.?|127(?:\.[0-9]{1,3}){3}|::1")
CODE_KEYWORDS = frozenset({"inline", "eval", "wasm-eval", "self", "", *trusted_types.KEYWORDS})
_PATTERN_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_PATTERN_PATH = re.compile(r"(?P<host>[^/?#:@\s*]*)/[^?#\s]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """A noise rule. If `site` is "", it matches the reports of all sites."""

    id: int
    name: str
    target: str
    pattern: str
    site: str = ""


@dataclass(slots=True)
class _Patterns:
    """The rules of one site, or those of all sites, by target and pattern."""

    by_target: dict[str, dict[str, Rule]] = field(default_factory=lambda: defaultdict(dict))

    def match(
        self, blocked: Address, source: Address, document: Address, user_agent: str
    ) -> Rule | None:
        agents = self.by_target["user-agent"].values()
        return (
            self._address_rule(blocked)
            or self._address_rule(source)
            or _scheme_rule(self.by_target["document-scheme"], document)
            or next((rule for rule in agents if rule.pattern in user_agent), None)
        )

    def _address_rule(self, address: Address) -> Rule | None:
        if not address.host:
            return _scheme_rule(self.by_target["scheme"], address)
        host = address.host
        return self._host_rule(host) or self._path_rule(host, address.path)

    def _path_rule(self, host: str, path: str) -> Rule | None:
        """Returns the first rule whose pattern is the start of the path.

        A pattern that begins with a slash matches on every host. Any other pattern begins with a
        host, and matches only on that host.
        """
        for rule in self.by_target["path"].values():
            if (path if rule.pattern.startswith("/") else host + path).startswith(rule.pattern):
                return rule
        return None

    def _host_rule(self, host: str) -> Rule | None:
        """Looks up the host, then the patterns `*.host` and `*.parent`, longest parent first."""
        hosts = self.by_target["host"]
        found = hosts.get(host)
        while host and not found:
            found = hosts.get(f"*.{host}")
            host = host.partition(".")[2]
        return found


@dataclass(slots=True)
class Rules:
    """The noise rules by site, so that matching is fast."""

    by_site: dict[str, _Patterns] = field(default_factory=lambda: defaultdict(_Patterns))

    def match(
        self, *, blocked: Address, source: Address, document: Address, user_agent: str, site: str
    ) -> Rule | None:
        """Returns the first rule that matches the report, or None.

        The rules of the report's site come before those of all sites.
        """
        if is_never_noise(blocked, source, document):
            return None
        for name in (site, ""):
            patterns = self.by_site.get(name)
            rule = patterns and patterns.match(blocked, source, document, user_agent)
            if rule:
                return rule
        return None


def compiled(rules: Iterable[Rule]) -> Rules:
    result = Rules()
    for rule in rules:
        pattern = rule.pattern
        if rule.target == "host":
            pattern = pattern.lower()
        elif rule.target in {"scheme", "document-scheme"}:
            pattern = normalized_scheme(pattern)
        result.by_site[rule.site].by_target[rule.target][pattern] = rule
    return result


def normalized_scheme(pattern: str) -> str:
    """Returns the scheme in lower case, without `:` or `://` at its end."""
    return pattern.lower().removesuffix("//").removesuffix(":")


def is_never_noise(blocked: Address, source: Address, document: Address) -> bool:
    is_foreign = (source.scheme, source.host) != (document.scheme, document.host)
    if blocked.text.lower() in CODE_KEYWORDS and not (source.text and is_foreign):
        return True
    return is_localhost(blocked.host)


def is_localhost(host: str) -> bool:
    """Returns whether the host always refers to the client's own computer.

    Source: RFC 6761, 6.3; RFC 1122.
    """
    return _LOCALHOST.fullmatch(host) is not None


def _scheme_rule(rules: dict[str, Rule], address: Address) -> Rule | None:
    """Looks up the whole URI, such as the URI of Chrome's error page, and then its scheme."""
    return rules.get(address.text.lower()) or rules.get(address.scheme)


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
