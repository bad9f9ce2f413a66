"""Parses the formats in which browsers send reports.

Each report of a violation becomes a `Violation`. Reports of other types (see `OTHER_TYPES`) and
invalid items are only counted. There are four formats: the object
`{"csp-report": {…}}` of `report-uri`, the array of the Reporting API, and two objects that WebKit
sends, `{type, url, "csp-report"}` and `{type, url, body}`. The content type is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kernel.http.errors import APIError, Validation, invalid
from kernel.text.humanize import plural

MAX_REPORTS = 100
MAX_NUMBER = 2**31 - 1
VIOLATION_TYPE = "csp-violation"
# The types of reports that are counted under their own name. Other types are counted as `OTHER`.
# Source: Reporting API, CSP 3 (csp-hash), Subresource Integrity (integrity-violation), Permissions
# Policy, Document Policy, HTML (COEP, COOP), Network Error Logging.
OTHER_TYPES = (
    *("coep", "coop", "crash", "csp-hash", "deprecation", "document-policy-violation"),
    *("integrity-violation", "intervention", "network-error", "permissions-policy-violation"),
    "potential-permissions-policy-violation",
)
OTHER = "other"


class Format(StrEnum):
    REPORT_URI = "report-uri"
    REPORTING_API = "reporting-api"
    WEBKIT_REPORT_URI = "webkit-report-uri"
    WEBKIT = "webkit"


@dataclass(slots=True)
class Violation:
    """One report of a violation, with the same field names for every browser.

    Strings are neither shortened nor scrubbed. `other_members` contains the unknown members of
    the report and of the object that contains the report.
    """

    format: Format
    document_uri: str = ""
    referrer: str = ""
    blocked_uri: str = ""
    effective_directive: str = ""
    violated_directive: str = ""
    original_policy: str = ""
    disposition: str = ""
    sample: str = ""
    source_file: str = ""
    user_agent: str = ""
    status_code: int | None = None
    line_number: int | None = None
    column_number: int | None = None
    age_ms: int = 0
    other_members: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Parsed:
    """The violations of a body, the types of its other reports, and the number of invalid items."""

    violations: list[Violation] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    invalid: int = 0


def parse(value: Any) -> Parsed:
    """Parses the JSON value of a body. An invalid item in an array does not affect other items.

    The example of Coder's API reference, `{"csp-report": {}}`, is valid and has no report.

    Raises: APIError 413 if an array has too many reports, 400 if the value is not a report.
    """
    if not isinstance(value, list):
        return _single(value)
    if len(value) > MAX_REPORTS:
        raise APIError(
            413,
            "The request has too many reports.",
            detail=f"The array has {plural(len(value), 'report')}. The limit is {MAX_REPORTS}.",
        )
    parsed = Parsed()
    for item in value:
        _add(parsed, item, Format.REPORTING_API)
    if not parsed.violations and not parsed.others:
        raise invalid(Validation("[]", "must have at least one report"))
    return parsed


def _single(value: Any) -> Parsed:
    if not isinstance(value, dict):
        raise invalid(Validation("", "must be a report or an array of reports"))
    parsed = Parsed()
    if "body" not in value:
        if not isinstance(value.get("csp-report"), dict):
            raise invalid(Validation("csp-report", "must be an object"))
        if not value["csp-report"]:
            return parsed
    _add(parsed, value, Format.WEBKIT)
    if parsed.invalid:
        raise invalid(Validation("body", "must be a non-empty object"))
    return parsed


def _add(parsed: Parsed, item: Any, modern: Format) -> None:
    """Parses one item and adds it to `parsed`. `modern` is the format of an item with a `body`."""
    if not isinstance(item, dict):
        parsed.invalid += 1
    elif _is_report(item.get("csp-report")):
        old = Format.WEBKIT_REPORT_URI if "type" in item else Format.REPORT_URI
        parsed.violations.append(_violation(item["csp-report"], item, old))
    elif (other := _other_type(item)) is not None:
        parsed.others.append(other)
    elif not _is_report(item.get("body")):
        parsed.invalid += 1
    else:
        parsed.violations.append(_violation(item["body"], item, modern))


def _is_report(value: Any) -> bool:
    """Returns whether the value is an object with members. An empty object is not a report."""
    return isinstance(value, dict) and bool(value)


def _other_type(item: Mapping[str, Any]) -> str | None:
    """Returns the type of a report that is not a violation, or None. Its body may be missing."""
    kind = item.get("type", VIOLATION_TYPE)
    if kind == VIOLATION_TYPE or not (isinstance(kind, str) or isinstance(item.get("body"), dict)):
        return None
    return kind if kind in OTHER_TYPES else OTHER


# The names that browsers use for each member.
_TEXTS: dict[str, tuple[str, ...]] = {
    "document_uri": ("document-uri", "documentURL", "documentURI"),
    "referrer": ("referrer",),
    "blocked_uri": ("blocked-uri", "blockedURL", "blockedURI"),
    "effective_directive": ("effective-directive", "effectiveDirective"),
    "violated_directive": ("violated-directive", "violatedDirective"),
    "original_policy": ("original-policy", "originalPolicy"),
    "disposition": ("disposition",),
    "sample": ("script-sample", "sample"),
    "source_file": ("source-file", "sourceFile"),
}
_NUMBERS: dict[str, tuple[str, ...]] = {
    "status_code": ("status-code", "statusCode"),
    "line_number": ("line-number", "lineNumber"),
    "column_number": ("column-number", "columnNumber"),
}
_OURS = {name: ours for ours, names in (_TEXTS | _NUMBERS).items() for name in names}
# `csp.importing` reads `received_at` and `version`. `export_csp_reports` also
# writes the `site`. An import ignores it, because the site follows from the page.
_KNOWN_BESIDE = _OURS.keys() | {
    *("age", "body", "csp-report", "received_at", "site"),
    *("type", "url", "user_agent", "version"),
}


def _violation(body: Mapping[str, Any], envelope: Mapping[str, Any], format: Format) -> Violation:
    """Returns the report in `body`. If a member has several names, the first valid value counts.

    A number is valid if it fits a PostgreSQL integer.
    """
    others = {name: value for name, value in envelope.items() if name not in _KNOWN_BESIDE}
    members: dict[str, Any] = {}
    for name, value in body.items():
        ours = _OURS.get(name)
        if ours is None:
            others[name] = value
        elif ours in _NUMBERS:
            if (number := _whole(value)) is not None and number <= MAX_NUMBER:
                members.setdefault(ours, number)
        elif isinstance(value, str):
            members.setdefault(ours, value.strip())
    members["document_uri"] = members.get("document_uri") or _text(envelope, ("url",))
    return Violation(
        format=format,
        user_agent=_text(envelope, ("user_agent",)),
        age_ms=min(_whole(envelope.get("age")) or 0, MAX_NUMBER),
        other_members=others,
        **members,
    )


def as_sent(row: Mapping[str, Any]) -> Any:
    """Returns a body that `parse` converts to this stored report again.

    `row` has the columns of the table of reports. Columns may be missing.
    """
    names = {ours: names[0] for ours, names in (_TEXTS | _NUMBERS).items()}
    known = {name: row[ours] for ours, name in names.items() if row.get(ours) not in ("", None)}
    body = {**(row.get("other_members") or {}), **known} or {names["disposition"]: ""}
    format = row.get("format")
    key = "csp-report" if format in (Format.REPORT_URI, Format.WEBKIT_REPORT_URI) else "body"
    item = {key: body} if format == Format.REPORT_URI else {"type": VIOLATION_TYPE, key: body}
    if agent := row.get("user_agent"):
        item["user_agent"] = agent
    return [item] if format == Format.REPORTING_API else item


def _text(body: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = body.get(name)
        if isinstance(value, str):
            return value.strip()
    return ""


def _whole(value: Any) -> int | None:
    """Converts a number that is not negative, or a string of digits, to an integer up to 2^31.

    Returns None for any other value.
    """
    if isinstance(value, str):
        digits = value.strip()
        if not (digits.isascii() and digits.isdecimal()):
            return None
        value = int(digits.lstrip("0")[:12] or "0")
    if isinstance(value, int | float) and value >= 0:
        return int(min(value, MAX_NUMBER + 1))
    return None
