"""Composes a whole policy to copy: one that browsers reported, and the sources to add to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from csp.advice.policy import Policy, governing_directive, parse, without_none
from csp.advice.suggestion import Advice

# In a report, the URLs of these directives lack the ingest key.
FOR_REPORTS = frozenset({"report-to", "report-uri"})
NONCE = "'nonce-"
# A forged report can contain anything. These characters would end a quoted string of nginx, or
# begin a variable.
_SAFE = re.compile(r"[!-~]+")
_UNSAFE = frozenset('"\\$;,{}')


@dataclass(frozen=True, slots=True)
class Copy:
    """A reported policy without what a copy must not contain.

    `with_nonces` are the directives that had nonces, which differ in each response. `unsafe` are
    the sources that are left out, because their characters are not safe to copy.
    """

    policy: Policy
    with_nonces: Sequence[str]
    unsafe: Sequence[str]


def copy_of(text: str) -> Copy:
    policy = {n: s for n, s in parse(text).items() if _is_safe(n) and n not in FOR_REPORTS}
    return Copy(
        policy={name: _kept(sources) for name, sources in policy.items()},
        with_nonces=[name for name, sources in policy.items() if any(map(_is_nonce, sources))],
        unsafe=[s for each in policy.values() for s in each if not (_is_safe(s) or _is_nonce(s))],
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


def extended(policy: Policy, advice: Advice) -> Policy:
    """Returns the policy that also allows the sources of the advice.

    If the policy covers them only by a fallback, such as default-src, the new directive also gets
    the sources of the fallback, which it replaces.
    """
    kept = without_none(policy.get(governing_directive(policy, advice.directive), ()))
    known = {source.lower() for source in kept}
    added = [source for source in advice.sources if source.lower() not in known]
    return {**policy, advice.directive: (*kept, *added)}


def written(policy: Policy) -> str:
    return "; ".join(" ".join([name, *sources]) for name, sources in policy.items())
