"""Finds the group of a report.

Reports of one site with the same cause are in one group. A cause consists of the directive and the
blocked source. Noise has no effect on this, so that a group stays the same when noise rules
change.
"""

from __future__ import annotations

import hashlib
import uuid
from functools import lru_cache

from csp import trusted_types
from csp.directives import KNOWN
from csp.scrubbing.address import Address
from csp.scrubbing.reports import Scrubbed

# Older versions of Firefox and Safari report inline code as "self".
INLINE, UNKNOWN = "inline", "unknown"
_KEYWORDS = {"": UNKNOWN, "self": INLINE}
OTHER = "other"

# The origins of the known sites, without private data.
type Sites = frozenset[str]


def group_columns(site: str, directive: str, blocked_source: str) -> dict[str, object]:
    """Returns the columns of the group with these values."""
    return {
        "group_id": uuid_of(site, directive, blocked_source),
        "group_site": site,
        "group_directive": directive,
        "group_blocked_source": blocked_source,
    }


@lru_cache(maxsize=2048)
def uuid_of(*values: object) -> str:
    """Returns the UUID of a row as a string. The UUID is a hash of the values."""
    text = "\0".join(str(value or "") for value in values)
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16]))


def other_group(site: str, directive: str) -> dict[str, object]:
    """Returns the columns of the group "other", for callers that have opened too many groups.

    Each known directive of a site has one. All unknown directives share one, so that invented
    directives cannot open groups.
    """
    return group_columns(site, directive if directive in KNOWN else "", OTHER)


def cause_of(report: Scrubbed) -> tuple[str, str]:
    """Returns the directive and the blocked source of the report's group."""
    directive, blocked = report.directive, blocked_source(report.blocked)
    if blocked in trusted_types.KEYWORDS:
        name, _ = trusted_types.split_sample(blocked, report.columns["sample"])
        return directive, f"{blocked} {name}".strip()
    # For an address, some browsers report the directive of elements, and others the general
    # directive. For inline code, elements and attributes are different causes.
    return (directive if blocked == INLINE else directive.removesuffix("-elem")), blocked


def blocked_source(address: Address) -> str:
    """Returns the host of a web URL, the scheme of any other URI, or a keyword such as `inline`."""
    return address.authority[:255] or _KEYWORDS.get(address.word, address.word)


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
