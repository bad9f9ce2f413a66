"""Describes what a violation group is about in a few words."""

from __future__ import annotations

import re

_KINDS = {
    "base-uri": "Base URL",
    "child-src": "Frame or worker",
    "connect-src": "Connection",
    "fenced-frame-src": "Fenced frame",
    "font-src": "Font",
    "form-action": "Form",
    "frame-ancestors": "Embedding page",
    "frame-src": "Frame",
    "img-src": "Image",
    "manifest-src": "Manifest",
    "media-src": "Audio or video",
    "object-src": "Plug-in",
    "prefetch-src": "Prefetched content",
    "script-src": "Script",
    "script-src-attr": "Event handler",
    "script-src-elem": "Script",
    "style-src": "Style sheet",
    "style-src-attr": "Style attribute",
    "style-src-elem": "Style sheet",
    "worker-src": "Worker",
}
_TO = frozenset({"connect-src", "form-action"})
_HOST = re.compile(r".*[.:\]].*|localhost")


def cause(directive: str, source: str) -> str:
    """Returns the cause of a group, such as `Script from cdn.example.com`."""
    kind = _KINDS.get(directive, directive or "Content")
    if source == "inline":
        return kind if kind in {"Event handler", "Style attribute"} else f"Inline {kind.lower()}"
    if source in {"eval", "wasm-eval"}:
        return "Text run as code (eval)" if source == "eval" else "WebAssembly"
    if source.startswith("trusted-types"):
        return "Text that Trusted Types rejected"
    if source in {"", "unknown"}:
        return f"{kind} from an unknown source"
    if source == "other":
        return f"{kind} from other sources"
    if source.endswith("extension") or source == "webkit-masked-url":
        return f"{kind} of a browser extension"
    if _HOST.fullmatch(source):
        return f"{kind} {'to' if directive in _TO else 'from'} {source}"
    return f"{kind} with a {source}: URL"
