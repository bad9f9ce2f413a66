"""Parses the reports of the Reporting API that are not violations of a Content-Security-Policy.

Reads only the members that identify the cause of a report. Source: Reporting API, CSP 3 (csp-hash),
Subresource Integrity (integrity-violation), Permissions Policy, Document Policy, HTML (COEP, COOP),
Network Error Logging.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HASH = "csp-hash"
# Reports whose type is not in `TYPES` get this type, and their own type as the subject.
OTHER_TYPE = "other"
_HASH = re.compile(r"sha(?:256-[A-Za-z0-9+/]{43}=|384-[A-Za-z0-9+/]{64}|512-[A-Za-z0-9+/]{86}==)")


@dataclass(frozen=True, slots=True)
class _Members:
    """The members of a body that can contain the subject, or the URL of the cause."""

    subject: tuple[str, ...]
    cause_url: tuple[str, ...] = ("sourceFile",)


_PERMISSION = _Members(("policyId", "featureId"))
TYPES = {
    "coep": _Members(("type",), ("blockedURL",)),
    "coop": _Members(("type",)),
    "crash": _Members(("reason",), ()),
    HASH: _Members(("hash",), ("subresourceURL",)),
    "deprecation": _Members(("id",)),
    "document-policy-violation": _Members(("policyId",)),
    "integrity-violation": _Members(("destination",), ("blockedURL",)),
    "intervention": _Members(("id",)),
    "network-error": _Members(("type",), ()),
    "permissions-policy-violation": _PERMISSION,
    "potential-permissions-policy-violation": _PERMISSION,
}


@dataclass(frozen=True, slots=True)
class OtherReport:
    """A report of another type. Strings are neither shortened nor scrubbed.

    `subject` is what the report is about, such as the id of a deprecated feature. `cause_url`
    is the URL of the cause, such as the file that uses it.
    """

    type: str
    subject: str = ""
    cause_url: str = ""
    page: str = ""


def other_report(item: Mapping[str, Any]) -> OtherReport:
    """Returns the report in an item whose type is not that of a violation."""
    type, body = _text(item, "type"), item.get("body")
    members = body if isinstance(body, dict) else {}
    page = _text(members, "documentURL") or _text(item, "url")
    if (names := TYPES.get(type)) is None:
        return OtherReport(OTHER_TYPE, subject=type, page=page)
    return OtherReport(type, _text(members, *names.subject), _text(members, *names.cause_url), page)


def _text(members: Mapping[str, Any], *names: str) -> str:
    """Returns the first string with one of these names, or ""."""
    found = (members.get(name) for name in names)
    return next((text.strip() for text in found if isinstance(text, str)), "")


def is_hash(text: str) -> bool:
    """Returns whether the text is a hash in the form of policies and of `integrity`."""
    return _HASH.fullmatch(text) is not None
