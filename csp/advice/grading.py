"""Grades a whole policy, and lists its weaknesses, each with a reason.

Source: CSP 3, 8 ("Authoring considerations"), and 2.3.1 (how nonces, hashes and 'strict-dynamic'
change the meaning of other sources).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from csp.advice.hosts import HostKind, is_bypass, kind_of
from csp.advice.policy import Policy, governing_directive, is_strict
from csp.advice.refusals import Risk

_ANY = {"*", "http:", "https:", "data:", "blob:"}


@dataclass(frozen=True, slots=True)
class Weakness:
    """Something that the policy allows. `reason` is a complete sentence."""

    risk: Risk
    reason: str


@dataclass(frozen=True, slots=True)
class Grade:
    """A letter from A to F, and the weaknesses, highest risk first."""

    letter: str
    weaknesses: tuple[Weakness, ...]


_LETTERS = {Risk.HIGH: "D", Risk.MEDIUM: "C", Risk.LOW: "B"}


def grade(policy: Policy) -> Grade:
    """Returns the grade. F: any script runs. D to B: by the highest risk. A: no weakness found."""
    if not governing_directive(policy, "script-src"):
        nothing = "The policy has neither script-src nor default-src, so every script runs."
        return Grade("F", (Weakness(Risk.HIGH, nothing),))
    order = list(Risk)
    found = [*_of_scripts(policy), *_missing(policy)]
    found.sort(key=lambda each: order.index(each.risk), reverse=True)
    return Grade(_LETTERS[found[0].risk] if found else "A", tuple(found))


def _of_scripts(policy: Policy) -> Iterator[Weakness]:
    directive = governing_directive(policy, "script-src")
    sources = [source.lower() for source in policy[directive]]
    if "'unsafe-inline'" in sources and not any(map(is_strict, sources)):
        yield Weakness(
            Risk.HIGH, f"{directive} contains 'unsafe-inline', so injected inline code runs."
        )
    if "'unsafe-eval'" in sources:
        yield Weakness(
            Risk.MEDIUM, f"{directive} contains 'unsafe-eval', so injected text can run as code."
        )
    # With 'strict-dynamic', browsers ignore hosts and schemes.
    if "'strict-dynamic'" not in sources:
        for source in sources:
            yield from _of_source(directive, source)


def _of_source(directive: str, source: str) -> Iterator[Weakness]:
    if source in _ANY:
        yield Weakness(Risk.HIGH, f"{directive} contains {source}, so scripts of any host run.")
        return
    host = source.partition("://")[2] or source
    host = host.partition("/")[0].partition(":")[0]
    if source.startswith("http://"):
        yield Weakness(Risk.MEDIUM, f"Anyone on the network can change the scripts of {source}.")
    if "." not in host:
        return
    if kind_of(host) in {HostKind.SHARED, HostKind.BUCKET} or is_bypass(host):
        yield Weakness(
            Risk.HIGH, f"{directive} allows {host}, with which others can run code on the page."
        )
    elif host.startswith("*."):
        yield Weakness(Risk.LOW, f"{directive} allows every host below {host[2:]}.")


def _missing(policy: Policy) -> Iterator[Weakness]:
    objects = governing_directive(policy, "object-src")
    if not objects or "'none'" not in policy[objects]:
        yield Weakness(Risk.LOW, "object-src is not 'none', so old plug-in content is possible.")
    if "base-uri" not in policy:
        yield Weakness(
            Risk.LOW, "base-uri is missing, so injected markup can redirect relative URLs."
        )
    if "frame-ancestors" not in policy:
        yield Weakness(
            Risk.LOW, "frame-ancestors is missing, so other sites can show the page in a frame."
        )
    if "form-action" not in policy:
        yield Weakness(
            Risk.LOW, "form-action is missing, so injected forms can send data to other sites."
        )
