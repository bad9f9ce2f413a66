"""Suggests an entry that allows what browsers blocked: a directive, and the sources to add to it.

For pages of Coder, it is an entry of `CODER_ADDITIONAL_CSP_POLICY`.

The entry is as narrow as the reports permit: the scheme, host and port of a URL, never a wildcard.
For a URL without a host, it is only the scheme. If an entry would allow too much, or could not
help, the advice gives the reason instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from csp.advice.hosts import HostKind, is_bypass, kind_of
from csp.advice.policy import (
    Policy,
    governing_directive,
    is_allowed,
    is_matchable,
    is_nameable,
    permits,
    without_none,
)
from csp.advice.policy import parse as parse_policy
from csp.advice.refusals import INLINE, REFUSALS, Risk
from csp.directives import WITH_SOURCES
from csp.scrubbing.address import Address, address_of
from csp.trusted_types import DIRECTIVE as TRUSTED_TYPES
from csp.trusted_types import MAX_SAMPLE_NAME, SINK, split_source
from csp.trusted_types import POLICY as TRUSTED_TYPES_POLICY

SETTING = "CODER_ADDITIONAL_CSP_POLICY"
# Coder's own sources of these directives apply only while nothing is configured for them. To all
# other directives, Coder appends the sources of an entry.
REPLACED = frozenset({"frame-ancestors"})
# Code from these sources can read and change the whole page.
_CODE = frozenset({"base-uri", "default-src", "object-src", "script-src", "worker-src"})


@dataclass(frozen=True, slots=True)
class Advice:
    """An entry, or "" if no entry should be added.

    `directive` is the directive that the entry changes, and `reasons` are complete sentences.
    `sources` are those that were blocked: the entry may also contain sources that it replaces. It
    would have prevented `prevented_reports` of the `tested_reports`. `setting` is
    Coder's setting for the entry, or "" if the page is not one of Coder.
    """

    directive: str
    policy_entry: str
    risk: Risk
    reasons: tuple[str, ...]
    sources: tuple[str, ...] = ()
    prevented_reports: int = 0
    tested_reports: int = 0
    setting: str = ""

    @property
    def protected_content(self) -> str:
        return WITH_SOURCES.get(self.directive, ("", ""))[1]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A blocked source, with the reported directive, page and policy.

    `source` is the group's blocked source. `urls` are the blocked URLs of the stored reports. The
    page and the policy are those that most clients reported. `is_confirmed` is whether an operator
    has acknowledged the group, `is_coders` whether the page is one of Coder, and `is_noise` whether
    an enabled noise rule labelled the group.
    """

    directive: str
    source: str
    urls: tuple[str, ...]
    page: str
    policy: str
    is_confirmed: bool = False
    is_coders: bool = True
    is_noise: bool = False


def advise(blocked: Blocked) -> Advice:
    """Returns the advice for a group. Never raises an error, whatever a browser reported."""
    return replace(_advise(blocked), setting=SETTING if blocked.is_coders else "")


def _advise(blocked: Blocked) -> Advice:
    base = blocked.directive.removesuffix("-elem").removesuffix("-attr")
    if blocked.is_noise:
        return _none(
            base, Risk.LOW, "A noise rule matches: the site did not cause the violation. Ignore it."
        )
    keyword, name = split_source(blocked.source)
    if keyword:
        return _for_sink(base, name) if keyword == SINK else _for_policy(name, blocked)
    if base not in WITH_SOURCES or base == "default-src":
        return _none(base, Risk.MEDIUM, "This directive does not have a list of sources to extend.")
    if blocked.source == "inline":
        risk, *reasons = INLINE.get(blocked.directive) or INLINE["script-src"]
        return Advice(base, "", risk, tuple(reasons))
    if reason := REFUSALS.get(blocked.source):
        return _none(base, *reason)
    if blocked.source == "wasm-eval":
        text = (
            "Scripts of the page can then compile WebAssembly, but 'wasm-unsafe-eval' does not "
            "allow eval. Code that already runs on the page can do the same in JavaScript."
        )
        risks = [(Risk.MEDIUM, text)]
        return _entry(base, ["'wasm-unsafe-eval'"], blocked, risks)
    page = address_of(blocked.page or "https:")
    addresses = list(filter(is_nameable, map(address_of, blocked.urls)))
    return _for_addresses(base, addresses, page, blocked)


def _for_sink(directive: str, sink: str) -> Advice:
    reason = (
        f"A script passed text to {sink or 'a sink'}, and text there can become code. Change the "
        "script at the source file of the reports: use textContent, or a value that a Trusted "
        "Types policy has checked, for example with DOMPurify. If few users are affected, it is "
        "probably a browser extension."
    )
    return _none(directive, Risk.HIGH, reason)


def _for_policy(name: str, blocked: Blocked) -> Advice:
    allowed = parse_policy(blocked.policy).get(TRUSTED_TYPES, ())
    if not name or len(name) >= MAX_SAMPLE_NAME:
        reason = "The reports do not contain the whole name of the Trusted Types policy."
        return _none(TRUSTED_TYPES, Risk.MEDIUM, reason)
    if name in allowed or "*" in allowed:
        reason = (
            f"The site's policy allows the name {name} already, so a script has probably created a "
            "second Trusted Types policy of this name. Load the script only once. With "
            "'allow-duplicates', other scripts could create one, too."
        )
        return _none(TRUSTED_TYPES, Risk.MEDIUM, reason)
    reason = f"The functions of {name} decide which text becomes code. Read them first."
    risks = [(Risk.MEDIUM, reason)]
    if name == "default":
        risks.append((Risk.HIGH, "Browsers pass all text without a trusted type to `default`."))
    if not blocked.is_confirmed:
        risks.append((Risk.HIGH, _UNCONFIRMED))
    reasons = tuple(reason for _, reason in risks)
    return Advice(TRUSTED_TYPES, f"{TRUSTED_TYPES} {name}", _worst(risks)[0], reasons, (name,))


def _for_addresses(
    base: str, addresses: Sequence[Address], page: Address, blocked: Blocked
) -> Advice:
    if not addresses:
        return _none(base, Risk.MEDIUM, "The stored reports contain no URL that a source can name.")
    if not all(is_matchable(address.host) for address in addresses):
        return _none(
            base,
            Risk.MEDIUM,
            "A policy cannot allow an IP address, except 127.0.0.1 (CSP 3, 6.7.2.10). Give the "
            "server a host name.",
        )
    if reason := _why_allowed(blocked, addresses, page):
        return _none(base, Risk.LOW, reason)
    if all(address.source == page.origin for address in addresses):
        reason = _OWN_HOST_OF_CODER if blocked.is_coders else _OWN_HOST
        return _entry(base, ["'self'"], blocked, [(Risk.LOW, reason)])
    risks = [risk for address in addresses for risk in _risks(base, address)]
    if base in _CODE and not blocked.is_confirmed:
        risks.append((Risk.HIGH, _UNCONFIRMED))
    sources = sorted({each.source for each in addresses})
    if base in _CODE and any(not address.host for address in addresses):
        return _none(base, Risk.HIGH, _worst(risks)[1])
    return _entry(base, sources, blocked, risks)


def _why_allowed(blocked: Blocked, addresses: Iterable[Address], page: Address) -> str:
    """Returns why a source in the policy would not help, or ""."""
    policy = parse_policy(blocked.policy)
    governing = governing_directive(policy, blocked.directive)
    sources = [source.lower() for source in policy.get(governing, ())]
    if "'strict-dynamic'" in sources:
        return "The policy contains 'strict-dynamic', with which browsers ignore hosts."
    if governing and all(is_allowed(policy, governing, each, page) for each in addresses):
        return (
            "The policy that most clients reported allows this source already. The browser may "
            "have followed a redirect to another host, which reports do not contain."
        )
    return ""


_UNCONFIRMED = (
    "No operator has confirmed this source, and anyone can invent one. Acknowledge the group after "
    "you have checked that the source is yours."
)
_OWN_HOST = (
    "The page's own host was blocked. If your policy allows it, a proxy has probably replaced the "
    "policy. Compare the policy of the reports before you change it."
)
_OWN_HOST_OF_CODER = (
    "The page's own host was blocked. Coder's own policy allows it, so a proxy has probably "
    "replaced the policy. Compare the policy of the reports before you change a setting."
)


def _risks(base: str, address: Address) -> Iterable[tuple[Risk, str]]:
    """Yields the risks of a source that allows the address, each with a reason."""
    if not address.host:
        level = Risk.HIGH if base in _CODE else Risk.LOW if base in _PASSIVE else Risk.MEDIUM
        yield level, f"The source {address.scheme}: allows every URL with this scheme."
        return
    yield from _risks_of_host(address, worst=Risk.HIGH if base in _CODE else Risk.MEDIUM)
    if base in _CODE and is_bypass(address.host):
        yield Risk.HIGH, f"Injected markup can run code with scripts of {address.host} ({_BYPASS})."
    if base in _CODE:
        yield Risk.MEDIUM, f"Scripts from {address.host} can read and change the whole page."
    elif base in {"connect-src", "form-action"}:
        yield Risk.MEDIUM, f"Scripts of the page can send data to {address.host}."
    elif base == "frame-ancestors":
        yield Risk.MEDIUM, f"Pages of {address.host} can show the site in a frame (clickjacking)."
    else:
        yield Risk.LOW, f"Only content from {address.host} is allowed."


def _risks_of_host(address: Address, *, worst: Risk) -> Iterable[tuple[Risk, str]]:
    host = address.host
    kind = kind_of(host)
    if kind == HostKind.SHARED:
        yield worst, f"Anyone can publish files on {host}."
    elif kind == HostKind.BUCKET:
        yield (
            worst,
            f"{host} is a bucket of an object store. Check who can write to it. If it is deleted, "
            "someone else can take its name.",
        )
    elif kind == HostKind.CUSTOMER:
        yield Risk.MEDIUM, f"{host} belongs to one customer of a hosting service. Check which one."
    if host in {"localhost", "127.0.0.1"}:
        yield Risk.MEDIUM, f"{host} is a different server on each user's computer."
    elif address.scheme in {"http", "ws"}:
        yield worst, f"Anyone on the network can change what {host} sends over plain HTTP."


_BYPASS = "it serves JSONP or an old AngularJS, according to csp-evaluator"
# These directives never load code.
_PASSIVE = frozenset({"font-src", "img-src", "manifest-src", "media-src"})


def _worst(risks: Iterable[tuple[Risk, str]]) -> tuple[Risk, str]:
    return max(risks, key=lambda risk: list(Risk).index(risk[0]))


def _none(directive: str, risk: Risk, reason: str) -> Advice:
    return Advice(directive, "", risk, (reason,))


def _entry(
    base: str, sources: Sequence[str], blocked: Blocked, risks: Sequence[tuple[Risk, str]]
) -> Advice:
    """Returns the entry that adds the sources to the directive.

    If the policy covers the content only by a fallback, such as default-src, the new directive
    replaces the fallback. Then the entry also contains 'self'. The same applies if no policy was
    reported. Other sources of the fallback are not copied, because the policy comes from a report,
    and anyone can forge a report. Coder's own policy has only 'self' in the REPLACED directives.
    """
    governing = governing_directive(parse_policy(blocked.policy), blocked.directive)
    target = governing if governing in {blocked.directive, base} else base
    reasons, blocked_sources = [reason for _, reason in risks], tuple(sources)
    if governing != target and (governing or not blocked.policy):
        sources = ["'self'", *sources]
        reasons.append(
            f"The entry replaces {governing} for {WITH_SOURCES[target][1]}. Add the sources of "
            f"{governing} that you still need."
            if governing
            else "Most clients reported no policy. If the policy of the site has no directive "
            f"{target}, the entry makes one, so it also contains 'self'."
        )
    elif target in REPLACED and blocked.is_coders:
        sources = ["'self'", *sources]
        reasons.append(
            f"An entry replaces Coder's own sources of {target}, so it also contains 'self'. Add "
            f"the sources of {target} that you have configured earlier."
        )
    entry = " ".join(dict.fromkeys([target, *sources]))
    reasons = list(dict.fromkeys(reasons))
    return Advice(target, entry, _worst(risks)[0], tuple(reasons), blocked_sources)


def extended(policy: Policy, advice: Advice) -> Policy:
    """Returns the policy that also allows the sources of the advice.

    If the policy covers them only by a fallback, such as default-src, the new directive also gets
    the sources of the fallback, which it replaces.
    """
    kept = without_none(policy.get(governing_directive(policy, advice.directive), ()))
    known = {source.lower() for source in kept}
    added = [source for source in advice.sources if source.lower() not in known]
    return {**policy, advice.directive: (*kept, *added)}


def prevented(advice: Advice, reports: Iterable[tuple[str, str, str, str, int]]) -> int:
    """Returns the total weight of the reports that the entry would have prevented.

    Each report is a tuple of the directive, the blocked URL, the page, the policy and the weight.
    """
    if not advice.policy_entry:
        return 0

    @cache
    def after(policy: str) -> Policy:
        return extended(parse_policy(policy), advice)

    return sum(
        weight
        for directive, url, page, policy, weight in reports
        if (
            advice.directive == TRUSTED_TYPES
            if url == TRUSTED_TYPES_POLICY
            else permits(after(policy), directive, url, address_of(page))
        )
    )
