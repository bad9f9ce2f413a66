"""Writes reported policies in a form in which they can be compared.

Chromium reports a policy as the page sent it. Firefox omits the directives and keywords that it
does not know, and changes the form of the rest. `normalized` returns the same result for both.
"""

from __future__ import annotations

from csp.advice.composition import FOR_REPORTS
from csp.advice.policy import HOST_SOURCE, parse
from csp.directives import KNOWN, WITH_SOURCES
from csp.scrubbing.address import Address, address_of

# Firefox 153 omits these directives, and all keywords except `_KEYWORDS`, nonces and hashes.
_ONLY_CHROMIUM = frozenset(
    {"fenced-frame-src", "navigate-to", "plugin-types", "prefetch-src", "webrtc"}
)
_COMPARED = KNOWN - FOR_REPORTS - _ONLY_CHROMIUM
_KEYWORDS = frozenset(
    {
        *("'none'", "'report-sample'", "'self'", "'strict-dynamic'", "'trusted-types-eval'"),
        *("'unsafe-eval'", "'unsafe-hashes'", "'unsafe-inline'", "'wasm-unsafe-eval'"),
    }
)
_VALUES = ("'nonce-", "'sha256-", "'sha384-", "'sha512-")


def directives(policy: str) -> list[tuple[str, str]]:
    """Returns the directives of a policy, each with its sources as one string."""
    return [(name, " ".join(sources)) for name, sources in parse(policy).items()]


def normalized(policy: str, page: str) -> frozenset[str]:
    """Returns the directives in a form that is equal for equal policies.

    The order of sources does not matter. The policy of Coder contains the page's own host, so it is
    replaced. The directives for reports are omitted, because Firefox reports an absolute URL in
    report-uri, and Chromium a relative one.
    """
    address, lines = address_of(page), []
    for name, sources in parse(policy).items():
        if name not in _COMPARED:
            continue
        written = set(sources)
        if name in WITH_SOURCES:
            written = {_source(source, address) for source in sources} - {""} or {"'none'"}
        elif name == "trusted-types":
            written = written or {"'none'"}
        lines.append(" ".join([name, *sorted(written)]))
    return frozenset(lines)


def _source(source: str, page: Address) -> str:
    """Returns the source as Firefox writes it, or "" for a keyword that Firefox omits."""
    lower = source.lower()
    if source.startswith("'"):
        return lower if lower in _KEYWORDS else source if lower.startswith(_VALUES) else ""
    found = HOST_SOURCE.fullmatch(source)
    if found is None:
        return lower
    scheme = (found["scheme"] or page.scheme).lower()
    host, rest = found["host"].lower(), source[found.end("host") :]
    if source == "*" or not scheme:
        return f"{host}{rest}"
    if f"{host}{rest}" == page.authority:
        return f"{scheme}://<host>"
    return f"{scheme}://{host}{rest}"
