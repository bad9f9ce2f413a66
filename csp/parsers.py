"""What browsers send, told apart by shape: each report becomes one `Violation`, or is counted.

Four shapes are known: the legacy object `{"csp-report": {…}}`, the Reporting API's array, and
WebKit's two single objects, `{type, url, "csp-report"}` and `{type, url, body}`. Content types are
not looked at.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kernel.http.errors import APIError, Validation, invalid

MOST_REPORTS = 100
LONGEST_URI = 2048
LONGEST_POLICY = 8192
LONGEST_WORD = 64
LARGEST_NUMBER = 2**31 - 1
LONGEST_SAMPLE = 256
VIOLATION_TYPE = "csp-violation"
# What a token or an e-mail address may consist of.
_WORD = f"{string.ascii_letters}{string.digits}_.@%+=-"


class Shape(StrEnum):
    LEGACY = "legacy"
    REPORTING_API = "reporting-api"
    WEBKIT_LEGACY = "webkit-legacy"
    WEBKIT = "webkit"


@dataclass(frozen=True, slots=True)
class Violation:
    """One report in one set of names, whatever the browser. Texts are cut, else as sent.

    `extra` has what no browser is known to send, in the report or beside it.
    """

    shape: Shape
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
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Parsed:
    """What a body held: violations, and how many items were of other types or no report at all."""

    violations: list[Violation] = field(default_factory=list)
    other: int = 0
    invalid: int = 0


def parse(value: Any) -> Parsed:
    """What the body's JSON value holds; a bad report never takes its neighbours with it.

    Raises: APIError 413 for too long an array, 400 when nothing in it is a report.
    """
    if not isinstance(value, list):
        return _single(value)
    if len(value) > MOST_REPORTS:
        raise APIError(
            413,
            "The request holds too many reports.",
            detail=f"It holds {len(value)}; the limit is {MOST_REPORTS}.",
        )
    parsed = Parsed()
    for item in value:
        _add(parsed, item, Shape.REPORTING_API)
    if not parsed.violations and not parsed.other:
        raise invalid(Validation("[]", "must hold at least one report"))
    return parsed


def _single(value: Any) -> Parsed:
    if not isinstance(value, dict):
        raise invalid(Validation("", "must be a report object or an array of them"))
    if "body" not in value and not isinstance(value.get("csp-report"), dict):
        raise invalid(Validation("csp-report", "must be an object"))
    parsed = Parsed()
    _add(parsed, value, Shape.WEBKIT)
    if parsed.invalid:
        raise invalid(Validation("body", "must be an object"))
    return parsed


def _add(parsed: Parsed, item: Any, modern: Shape) -> None:
    """Takes one item into account. `modern` is the shape that an object with a `body` has here."""
    if not isinstance(item, dict):
        parsed.invalid += 1
    elif isinstance(item.get("csp-report"), dict):
        shape = Shape.WEBKIT_LEGACY if "type" in item else Shape.LEGACY
        parsed.violations.append(_violation(item["csp-report"], item, shape))
    elif _is_of_other_type(item):
        parsed.other += 1
    elif not isinstance(item.get("body"), dict):
        parsed.invalid += 1
    else:
        parsed.violations.append(_violation(item["body"], item, modern))


def _is_of_other_type(item: Mapping[str, Any]) -> bool:
    """Whether it is a report, but of no violation; some types have no body, or an empty one."""
    kind = item.get("type", VIOLATION_TYPE)
    return kind != VIOLATION_TYPE and (isinstance(kind, str) or isinstance(item.get("body"), dict))


# Each member by our name, with every spelling that a browser has for it.
_TEXTS: dict[str, tuple[int, tuple[str, ...]]] = {
    "document_uri": (LONGEST_URI, ("document-uri", "documentURL", "documentURI")),
    "referrer": (LONGEST_URI, ("referrer",)),
    "blocked_uri": (LONGEST_URI, ("blocked-uri", "blockedURL", "blockedURI")),
    "effective_directive": (LONGEST_URI, ("effective-directive", "effectiveDirective")),
    "violated_directive": (LONGEST_URI, ("violated-directive", "violatedDirective")),
    "original_policy": (LONGEST_POLICY, ("original-policy", "originalPolicy")),
    "disposition": (LONGEST_WORD, ("disposition",)),
    "sample": (LONGEST_SAMPLE, ("script-sample", "sample")),
    "source_file": (LONGEST_URI, ("source-file", "sourceFile")),
}
_NUMBERS: dict[str, tuple[str, ...]] = {
    "status_code": ("status-code", "statusCode"),
    "line_number": ("line-number", "lineNumber"),
    "column_number": ("column-number", "columnNumber"),
}
_KNOWN = frozenset(
    [name for _, names in _TEXTS.values() for name in names]
    + [name for names in _NUMBERS.values() for name in names]
)
# `received_at` is an import's, see importing.
_KNOWN_BESIDE = frozenset(
    {"age", "body", "csp-report", "received_at", "type", "url", "user_agent"} | _KNOWN
)


def _violation(body: Mapping[str, Any], envelope: Mapping[str, Any], shape: Shape) -> Violation:
    members: dict[str, Any] = {
        ours: shortened(_text(body, names), most) for ours, (most, names) in _TEXTS.items()
    }
    members |= {ours: _number(body, names) for ours, names in _NUMBERS.items()}
    members["document_uri"] = members["document_uri"] or shortened(
        _text(envelope, ("url",)), LONGEST_URI
    )
    return Violation(
        shape=shape,
        user_agent=shortened(_text(envelope, ("user_agent",)), LONGEST_SAMPLE),
        age_ms=min(_whole(envelope.get("age")) or 0, LARGEST_NUMBER),
        extra=_unknown(envelope, _KNOWN_BESIDE) | _unknown(body, _KNOWN),
        **members,
    )


def _unknown(members: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if name not in known}


def shortened(text: str, most: int) -> str:
    """At most so many characters, and no half word at the end: half a token looks like none."""
    if len(text) <= most:
        return text
    return text[:most].rstrip(_WORD) if text[most] in _WORD else text[:most]


def _text(body: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        value = body.get(name)
        if isinstance(value, str):
            return value.strip()
    return ""


def _number(body: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """A number, or a number in a string, that a PostgreSQL integer holds."""
    for name in names:
        number = _whole(body.get(name))
        if number is not None and number <= LARGEST_NUMBER:
            return number
    return None


def _whole(value: Any) -> int | None:
    """A number that is not negative, in a string or not; one that is too large is 2^31."""
    if isinstance(value, str):
        digits = value.strip()
        if not (digits.isascii() and digits.isdecimal()):
            return None
        value = int(digits.lstrip("0")[:12] or "0")
    if isinstance(value, int | float) and value >= 0:
        return int(min(value, LARGEST_NUMBER + 1))
    return None
