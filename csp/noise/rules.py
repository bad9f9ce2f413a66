"""Noise rules: which of them matches a report, and which patterns an operator may write.

A rule looks only at texts that are stored, so it judges new and stored reports alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from csp.scrubbing.uris import ERROR_PAGE, SCHEME, WEB_SCHEMES, scheme_of, split_web
from kernel.db.connections import lock_number

# Batches share this lock, and a change of rules has it alone. So a group's noise always fits the
# rules that are enabled.
RULES_LOCK = lock_number("csp noise rules")
# No rule may hide these: people develop on localhost, and an attack looks like unexplained inline
# code.
_LOCALHOST = re.compile(r"(?:.+\.)?localhost\.?|127(?:\.[0-9]{1,3}){3}|::1")
# Number of answers that are remembered; most reports are like one that came before.
REMEMBERED = 2_048
CODE_KEYWORDS = frozenset({"inline", "eval", "wasm-eval", "self", ""})
_PATTERN_HOST = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_PATTERN_PATH = re.compile(r"(?P<host>[^/?#:@\s*]*)/[^?#\s]+")


@dataclass(frozen=True, slots=True)
class Rule:
    id: int
    name: str
    target: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The texts of a report that rules look at, as they are stored."""

    blocked_uri: str
    source_file: str
    document_uri: str
    user_agent: str


@dataclass(slots=True)
class Rules:
    """Rules made ready for matching. The first that matches, by target, counts."""

    by_scheme: dict[str, Rule] = field(default_factory=dict)
    by_document: dict[str, Rule] = field(default_factory=dict)
    by_host: dict[str, Rule] = field(default_factory=dict)
    by_path: list[Rule] = field(default_factory=list)
    by_agent: list[Rule] = field(default_factory=list)
    _matched: dict[Facts, Rule | None] = field(default_factory=dict)

    def match(self, facts: Facts) -> Rule | None:
        """Returns the rule by which the report is noise, or None."""
        if facts not in self._matched:
            if len(self._matched) >= REMEMBERED:
                self._matched.clear()
            self._matched[facts] = self._match(facts)
        return self._matched[facts]

    def _match(self, facts: Facts) -> Rule | None:
        if is_never_noise(facts):
            return None
        for uri in (facts.blocked_uri, facts.source_file):
            found = self._address_rule(uri)
            if found:
                return found
        document = _scheme_rule(self.by_document, facts.document_uri)
        return document or self._agent_rule(facts.user_agent)

    def _address_rule(self, uri: str) -> Rule | None:
        parts = split_web(uri)
        if parts is None:
            return _scheme_rule(self.by_scheme, uri)
        host = parts.hostname or ""
        return self._host_rule(host) or self._path_rule(host, parts.path)

    def _path_rule(self, host: str, path: str) -> Rule | None:
        """Compares the path's start, on every host or on the one that stands in the pattern."""
        whole = f"{host}{path}"
        return next(
            (
                rule
                for rule in self.by_path
                if (path if rule.pattern.startswith("/") else whole).startswith(rule.pattern)
            ),
            None,
        )

    def _host_rule(self, host: str) -> Rule | None:
        """Looks for the host itself, else for `*.` and its end, the longest first."""
        found = self.by_host.get(host)
        while host and not found:
            found = self.by_host.get(f"*.{host}")
            host = host.partition(".")[2]
        return found

    def _agent_rule(self, user_agent: str) -> Rule | None:
        return next((r for r in self.by_agent if r.pattern in user_agent), None)


def compiled(rules: Iterable[Rule]) -> Rules:
    ready = Rules()
    for rule in rules:
        match rule.target:
            case "scheme":
                ready.by_scheme[normalised_scheme(rule.pattern)] = rule
            case "document-scheme":
                ready.by_document[normalised_scheme(rule.pattern)] = rule
            case "host":
                ready.by_host[rule.pattern.lower()] = rule
            case "path":
                ready.by_path.append(rule)
            case _:
                ready.by_agent.append(rule)
    return ready


def normalised_scheme(pattern: str) -> str:
    """Takes `moz-extension`, `moz-extension:` and `moz-extension://` for the same."""
    return pattern.lower().removesuffix("//").removesuffix(":")


def is_never_noise(facts: Facts) -> bool:
    if facts.blocked_uri.lower() in CODE_KEYWORDS and not _is_foreign(facts):
        return True
    return is_localhost(_host(facts.blocked_uri))


def is_localhost(host: str) -> bool:
    """Tells if it always is the browser's own machine. Source: RFC 6761, 6.3, and RFC 1122."""
    return _LOCALHOST.fullmatch(host) is not None


def _is_foreign(facts: Facts) -> bool:
    """Tells if the code's source file says that it is not the page's own."""
    source = facts.source_file
    return bool(source) and (scheme_of(source), _host(source)) != (
        scheme_of(facts.document_uri),
        _host(facts.document_uri),
    )


def _host(uri: str) -> str:
    parts = split_web(uri)
    return (parts.hostname or "") if parts else ""


def _scheme_rule(rules: dict[str, Rule], uri: str) -> Rule | None:
    """Looks for the whole text, as the browser's error page has it, or for its scheme."""
    word = uri.lower()
    return rules.get(word) or rules.get(scheme_of(word))


def checked_pattern(target: str, pattern: str) -> str:
    """Returns the pattern as it is compared.

    Raises: ValueError for one that could never match, with a sentence that says what to write.
    """
    match target:
        case "scheme" | "document-scheme":
            return _checked_scheme(normalised_scheme(pattern.strip()))
        case "host":
            return _checked_host(pattern.strip().lower())
        case "path":
            return _checked_path(pattern.strip())
        case _:
            return pattern


def _checked_scheme(scheme: str) -> str:
    if scheme in CODE_KEYWORDS:
        raise ValueError(
            "Inline code and eval may be an attack, and are never noise by themselves; write the "
            "scheme or host of the source file that they come from."
        )
    if scheme in WEB_SCHEMES:
        raise ValueError(
            f"Every site's addresses begin with {scheme}; write the host, with the target host."
        )
    if scheme != ERROR_PAGE and not SCHEME.fullmatch(scheme):
        raise ValueError("Write a scheme alone, such as moz-extension, without host or path.")
    return scheme


def _checked_host(host: str) -> str:
    if not _PATTERN_HOST.fullmatch(host):
        raise ValueError(
            "Write a host alone, such as foo.example, or *.foo.example for it and all below it, "
            "without scheme, port or path."
        )
    if is_localhost(host):
        raise ValueError(
            "People develop on localhost, so it is never noise; write another host, "
            "such as foo.example."
        )
    return host


def _checked_path(path: str) -> str:
    found = _PATTERN_PATH.fullmatch(path)
    if not found:
        raise ValueError(
            "Write what the path starts with, such as /inject/, or foo.example/inject/ on one "
            "host, without scheme and query."
        )
    return found["host"].lower() + path[found.end("host") :]
