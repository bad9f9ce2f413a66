"""The directives of a Content-Security-Policy, and the cause of a violation group in a few words.

Source: CSP Level 3 and its extensions.
"""

from __future__ import annotations

import re

from csp.trusted_types import SINK, split_source

# A scheme in a list of sources, in lower case.
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
# The directives that have a list of sources. Each has a name for a blocked source, and a
# description of the resources that it protects.
WITH_SOURCES = {
    "base-uri": ("Base URL", "the base of all relative URLs"),
    "child-src": ("Frame or worker", "frames and workers"),
    "connect-src": ("Connection", "the hosts to which scripts send data"),
    "default-src": ("Content", "everything that no other directive covers"),
    "fenced-frame-src": ("Fenced frame", "the pages that a page shows in fenced frames"),
    "font-src": ("Font", "fonts"),
    "form-action": ("Form", "the hosts to which a page sends its forms"),
    "frame-ancestors": ("Embedding page", "the pages that may show a page in a frame"),
    "frame-src": ("Frame", "the pages that a page shows in frames"),
    "img-src": ("Image", "images"),
    "manifest-src": ("Manifest", "the manifest of the installed application"),
    "media-src": ("Audio or video", "audio and video"),
    "navigate-to": ("Navigation", "the pages to which a page leads"),
    "object-src": ("Plug-in", "plug-ins"),
    "prefetch-src": ("Prefetched content", "content that a page loads in advance"),
    "script-src": ("Script", "the scripts of a page, which can read and change all of it"),
    "script-src-attr": ("Event handler", "scripts in attributes of elements"),
    "script-src-elem": ("Script", "scripts in elements"),
    "style-src": ("Style sheet", "style sheets"),
    "style-src-attr": ("Style attribute", "styles in attributes of elements"),
    "style-src-elem": ("Style sheet", "style sheets in elements"),
    "worker-src": ("Worker", "workers, which run scripts in the background"),
}
# These directives limit what a page loads. Other directives do not fall back to default-src.
FETCH = frozenset(WITH_SOURCES) - {
    *("base-uri", "default-src", "form-action", "frame-ancestors", "navigate-to")
}
KNOWN = frozenset(WITH_SOURCES) | {
    *("block-all-mixed-content", "plugin-types", "report-to", "report-uri"),
    *("require-trusted-types-for", "sandbox", "trusted-types", "upgrade-insecure-requests"),
    "webrtc",
}


# --- Causes ---------------------------------------------------------------------------------------

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
