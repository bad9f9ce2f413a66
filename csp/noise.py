"""Whether a report is noise: rules look at what is stored of it, and so at history alike."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from csp.uris import scheme_of, split_web

# What no rule may hide: people develop on localhost, and an attack looks like unexplained inline
# code.
_LOCALHOST = re.compile(r"(?:.+\.)?localhost\.?|127(?:\.[0-9]{1,3}){3}|::1")
# How many answers are remembered; most reports are like one that came before.
REMEMBERED = 2_048
CODE_KEYWORDS = frozenset({"inline", "eval", "wasm-eval", "self", ""})


@dataclass(frozen=True, slots=True)
class Rule:
    id: int
    name: str
    target: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a report rules look at, as it is stored."""

    blocked_uri: str
    source_file: str
    document_uri: str
    user_agent: str


@dataclass(slots=True)
class Rules:
    """Rules made ready for matching. The first that matches, by target, is the one that counts."""

    by_scheme: dict[str, Rule] = field(default_factory=dict)
    by_document: dict[str, Rule] = field(default_factory=dict)
    by_host: dict[str, Rule] = field(default_factory=dict)
    by_path: list[Rule] = field(default_factory=list)
    by_agent: list[Rule] = field(default_factory=list)
    _matched: dict[Facts, Rule | None] = field(default_factory=dict)

    def match(self, facts: Facts) -> Rule | None:
        """The rule that says that the report is noise, or None."""
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
        """By what the path starts with, on every host or on the one before it in the pattern."""
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
        """By the host itself, else by `*.` and what it ends in, the longest first."""
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
    """`moz-extension`, `moz-extension:` and `moz-extension://` are one and the same."""
    return pattern.lower().removesuffix("//").removesuffix(":")


def is_never_noise(facts: Facts) -> bool:
    if facts.blocked_uri.lower() in CODE_KEYWORDS and not _is_foreign(facts):
        return True
    return is_localhost(_host(facts.blocked_uri))


def is_localhost(host: str) -> bool:
    """Whether it always is the browser's own machine. Source: RFC 6761, 6.3, and RFC 1122."""
    return _LOCALHOST.fullmatch(host) is not None


def _is_foreign(facts: Facts) -> bool:
    """Whether the code's source file says that it is not the page's own."""
    source = facts.source_file
    return bool(source) and (scheme_of(source), _host(source)) != (
        scheme_of(facts.document_uri),
        _host(facts.document_uri),
    )


def _host(uri: str) -> str:
    parts = split_web(uri)
    return (parts.hostname or "") if parts else ""


def _scheme_rule(rules: dict[str, Rule], uri: str) -> Rule | None:
    """By the whole of what stands there, as the browser's error page has it, or by its scheme."""
    word = uri.lower()
    return rules.get(word) or rules.get(scheme_of(word))
