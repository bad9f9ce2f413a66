"""Finds the group of a report.

Reports with the same directive, blocked source, page and disposition are in one group.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from functools import lru_cache

from csp.parsing.formats import MAX_WORD, Violation
from csp.scrubbing.coder_addresses import path_template
from csp.scrubbing.free_text import directive_word
from csp.scrubbing.masking import masked
from csp.scrubbing.uris import host_of, scheme_of, split_web

# Older versions of Firefox and Safari report inline code as "self" or without a blocked source.
_INLINE_ALIASES = frozenset({"", "self"})
DISPOSITIONS = frozenset({"enforce", "report"})
OTHER = "other"
# Each of these directives has a separate group "other". All other directives share one group
# "other", so that invented directives cannot open groups. Source: CSP Level 3 and its extensions.
DIRECTIVES = frozenset(
    {
        *("base-uri", "block-all-mixed-content", "child-src", "connect-src", "default-src"),
        *("fenced-frame-src", "font-src", "form-action", "frame-ancestors", "frame-src", "img-src"),
        *("manifest-src", "media-src", "navigate-to", "object-src", "plugin-types", "prefetch-src"),
        *("report-to", "report-uri", "require-trusted-types-for", "sandbox", "script-src"),
        *("script-src-attr", "script-src-elem", "style-src", "style-src-attr", "style-src-elem"),
        *("trusted-types", "upgrade-insecure-requests", "webrtc", "worker-src"),
    }
)


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The four values that all reports of a group share."""

    directive: str
    blocked: str
    document: str
    disposition: str

    @property
    def id(self) -> str:
        """Returns the UUID of the group as a string. The UUID is a hash of the values."""
        return _id_of(self)


@lru_cache(maxsize=2048)
def _id_of(key: GroupKey) -> str:
    text = "\0".join((key.directive, key.blocked, key.document, key.disposition))
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16]))


def other_group(directive: str) -> GroupKey:
    """Returns the group "other" of the directive, for callers that have opened too many groups."""
    return GroupKey(directive if directive in DIRECTIVES else "", OTHER, "", "")


def group_columns(group: GroupKey) -> dict[str, str]:
    return {
        "group_directive": group.directive,
        "group_blocked": group.blocked,
        "group_document": group.document,
        "group_disposition": group.disposition,
    }


def group_key(violation: Violation) -> GroupKey:
    return GroupKey(
        directive=directive_of(violation),
        blocked=blocked_source(violation.blocked_uri),
        document=document_template(violation.document_uri),
        disposition=disposition_of(violation),
    )


def directive_of(violation: Violation) -> str:
    """Returns the effective directive, or else the first word of the violated directive.

    Browsers that implement only CSP 1 or 2 do not send an effective directive.
    """
    text = violation.effective_directive or violation.violated_directive
    return directive_word(text.lower())


def disposition_of(violation: Violation) -> str:
    """Returns `enforce` or `report`, or "" for browsers that send neither, such as WebKit."""
    disposition = violation.disposition.lower()
    return disposition if disposition in DISPOSITIONS else ""


@lru_cache(maxsize=2048)
def blocked_source(uri: str) -> str:
    """Returns the host of a web URL, the scheme of any other URI, or a keyword such as `inline`."""
    parts = split_web(f"https:{uri}" if uri.startswith("//") else uri)
    if parts is not None:
        return masked(host_of(parts))[:255]
    word = scheme_of(uri) or uri.lower()
    return "inline" if word in _INLINE_ALIASES else masked(word)[:MAX_WORD]


@lru_cache(maxsize=2048)
def document_template(uri: str) -> str:
    parts = split_web(uri)
    if parts is None:
        return (scheme_of(uri) or masked(uri))[:MAX_WORD]
    return f"{parts.scheme}://{masked(host_of(parts))}{masked(path_template(parts.path))}"[:1024]


@lru_cache(maxsize=512)
def browser_of(user_agent: str) -> str:
    """Returns the browser's name and major version, such as `Firefox 149`; "" if unknown."""
    for token, name in _BROWSERS:
        _, found, rest = user_agent.partition(token)
        if found:
            return f"{name} {_digits(rest)}".strip()
    return ""


# The order matters, because the user agents of Edge and Opera also contain `Chrome/`.
_BROWSERS = (
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
)


def _digits(text: str) -> str:
    head = text.split(".", 1)[0].split(" ", 1)[0][:4]
    return head if head.isascii() and head.isdecimal() else ""
