"""Describes what a violation group is about in a few words."""

from __future__ import annotations

import re

from csp.directives import KNOWN, SCHEME, WITH_SOURCES
from csp.trusted_types import SINK, split_source

# The schemes of the URLs of browser extensions.
EXTENSIONS = frozenset(
    {
        *("chrome-extension", "moz-extension", "ms-browser-extension", "safari-extension"),
        *("safari-web-extension", "webkit-masked-url"),
    }
)
_TO = frozenset({"connect-src", "form-action", "navigate-to"})
_HOST = re.compile(r"((?:[a-z0-9_{}-]+\.)+[a-z0-9_{}-]+\.?|localhost|\[[0-9a-f:.]+\])(?::[0-9]+)?")

_KEYWORDS = {
    "eval": "Text run as code (eval)",
    "wasm-eval": "WebAssembly",
}
_SOURCES = {
    "": "from an unknown source",
    "unknown": "from an unknown source",
    "other": "from other sources",
}


def cause(directive: str, source: str) -> str:
    """Returns the cause of a group, such as `Script from cdn.example.com`.

    An unknown directive is not part of it, because a forged report can contain any words.
    """
    kind, _ = WITH_SOURCES.get(directive, (directive if directive in KNOWN else "Content", ""))
    if source == "inline":
        return kind if kind in {"Event handler", "Style attribute"} else f"Inline {kind.lower()}"
    if source in _KEYWORDS:
        return _KEYWORDS[source]
    keyword, name = split_source(source)
    if keyword:
        of = f"Text without a trusted type in {name or 'an unknown sink'}"
        return of if keyword == SINK else f"Trusted Types policy {name}".strip()
    return f"{kind} {_SOURCES.get(source) or _from(directive, source)}"


def _from(directive: str, source: str) -> str:
    if source in EXTENSIONS:
        return "of a browser extension"
    if _HOST.fullmatch(source):
        return f"{'to' if directive in _TO else 'from'} {source}"
    # A forged report can contain any text, such as a link to another site.
    return f"with a {source}: URL" if SCHEME.fullmatch(source) else "from an invalid source"
