"""Composes a whole policy to copy, and finds the weaknesses of a policy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from csp.advice.hosts import HostKind, is_bypass, is_open_to_all, kind_of
from csp.advice.policy import Policy, governing_directive, is_strict, parse
from csp.advice.refusals import Risk

# In a report, the URLs of these directives lack the ingest key.
FOR_REPORTS = frozenset({"report-to", "report-uri"})
NONCE = "'nonce-"
# A forged report can contain anything. These characters would end a quoted string of nginx, or
# begin a variable.
_SAFE = re.compile(r"[!-~]+")
_UNSAFE = frozenset('"\\$;,{}')


def copy_of(text: str) -> tuple[Policy, list[str], list[str]]:
    """Returns a reported policy without what a copy must not contain, and two lists.

    The first list has the directives that had nonces, which differ in each response. The second one
    has the sources that are left out, because their characters are not safe to copy.
    """
    policy = {n: s for n, s in parse(text).items() if _is_safe(n) and n not in FOR_REPORTS}
    return (
        {name: _kept(sources) for name, sources in policy.items()},
        [name for name, sources in policy.items() if any(map(_is_nonce, sources))],
        [s for each in policy.values() for s in each if not (_is_safe(s) or _is_nonce(s))],
    )


def _kept(sources: Iterable[str]) -> tuple[str, ...]:
    """Removes nonces and unsafe sources.

    Beside a nonce, browsers ignore 'unsafe-inline'. Without the nonce, it would allow everything.
    """
    kept = [source for source in sources if _is_safe(source)]
    if any(map(_is_nonce, sources)):
        kept = [source for source in kept if source.lower() != "'unsafe-inline'"]
    return tuple(kept)


def _is_nonce(source: str) -> bool:
    return source.lower().startswith(NONCE)


def _is_safe(text: str) -> bool:
    return not _is_nonce(text) and bool(_SAFE.fullmatch(text)) and _UNSAFE.isdisjoint(text)


def written(policy: Policy) -> str:
    return "; ".join(" ".join([name, *sources]) for name, sources in policy.items())


# --- Weaknesses -----------------------------------------------------------------------------------
#
# Source: CSP 3, 8 ("Authoring considerations"), and 2.3.1 (how nonces, hashes and 'strict-dynamic'
# change the meaning of other sources).

_SCRIPTS = ("script-src", "script-src-elem", "script-src-attr")
_ANY = {"http:", "https:", "data:", "blob:"}


# Something that the policy allows: its risk, and a complete sentence.
type Weakness = tuple[Risk, str]


def weaknesses(policy: Policy) -> list[Weakness]:
    """Returns the weaknesses of the policy, highest risk first."""
    if not governing_directive(policy, "script-src"):
        nothing = "The policy has neither script-src nor default-src, so every script runs."
        return [(Risk.HIGH, nothing)]
    order = list(Risk)
    # Elements and attributes may have a directive of their own.
    of_scripts = dict.fromkeys(governing_directive(policy, name) for name in _SCRIPTS)
    found = [each for name in of_scripts for each in _of_scripts(name, policy)]
    found += _missing(policy)
    return sorted(found, key=lambda each: order.index(each[0]), reverse=True)


def _of_scripts(directive: str, policy: Policy) -> Iterator[Weakness]:
    sources = [source.lower() for source in policy[directive]]
    if "'unsafe-inline'" in sources and not any(map(is_strict, sources)):
        yield Risk.HIGH, f"{directive} contains 'unsafe-inline', so injected inline code runs."
    if "'unsafe-eval'" in sources:
        yield Risk.MEDIUM, f"{directive} contains 'unsafe-eval', so injected text can run as code."
    # With 'strict-dynamic', browsers ignore hosts and schemes.
    if "'strict-dynamic'" not in sources:
        for source in sources:
            yield from _of_source(directive, source)


def _of_source(directive: str, source: str) -> Iterator[Weakness]:
    host = source.partition("://")[2] or source
    host = host.partition("/")[0].partition(":")[0]
    if source in _ANY or host == "*":
        yield Risk.HIGH, f"{directive} contains {source}, so scripts of any host run."
        return
    if source.startswith("http://"):
        yield Risk.MEDIUM, f"Anyone on the network can change the scripts of {source}."
    if "." not in host:
        return
    if kind_of(host) in {HostKind.SHARED, HostKind.BUCKET} or is_bypass(host):
        yield Risk.HIGH, f"{directive} allows {host}, with which others can run code on the page."
    elif host.startswith("*."):
        every = f"{directive} allows every host below {host[2:]}"
        if is_open_to_all(host[2:]):
            yield Risk.HIGH, f"{every}, and anyone can get one."
        else:
            yield Risk.LOW, f"{every}."


def _missing(policy: Policy) -> Iterator[Weakness]:
    objects = governing_directive(policy, "object-src")
    if not objects or "'none'" not in policy[objects]:
        yield Risk.LOW, "object-src is not 'none', so old plug-in content is possible."
    if "base-uri" not in policy:
        yield Risk.LOW, "base-uri is missing, so injected markup can redirect relative URLs."
    if "frame-ancestors" not in policy:
        yield Risk.LOW, "frame-ancestors is missing, so other sites can show the page in a frame."
    if "form-action" not in policy:
        yield Risk.LOW, "form-action is missing, so injected forms can send data to other sites."
