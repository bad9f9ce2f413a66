"""Describes the request body of reports in the OpenAPI document, in all formats of browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework import serializers

from csp.access.keys import PARAMETER
from csp.parsing.formats import MAX_REPORTS, VIOLATION_TYPE
from kernel.http import wire
from kernel.http.wire import Schema

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.utils import Direction

LEGACY, LEGACY_REPORT = "coderd.cspViolation", "coderapi.LegacyCSPReport"
MODERN, MODERN_REPORT = "coderapi.BrowserReport", "coderapi.CSPReport"
BODY = "coderapi.CSPReportBody"
INGEST_KEY = "csp-ingest-key"
SCHEME: Schema = {
    "type": "apiKey",
    "in": "query",
    "name": PARAMETER,
    "description": "An ingest key. With it, pages of the key's origins can report without a "
    "session token.",
}


class ReportBody(serializers.Serializer[Any]):
    """Represents the request body in the view's schema. `csp.parsing` parses the body."""


def _text(description: str, *examples: str) -> Schema:
    return {"type": "string", "description": description, "examples": list(examples)}


def _number(description: str, example: int) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description, "examples": [example]}


# The key of each member is a pair of names: its name in a `report-uri` report, and its name in the
# Reporting API.
_MEMBERS: dict[tuple[str, str], Schema] = {
    ("document-uri", "documentURL"): _text(
        "The page with the violation.", "https://coder.example.com/workspaces"
    ),
    ("referrer", "referrer"): _text(
        "The referrer of the page with the violation.", "https://coder.example.com/login"
    ),
    ("blocked-uri", "blockedURL"): _text(
        "The blocked source: a URL, a scheme, or a word such as `inline` or `eval`.",
        "https://evil.example.net/lib.js",
    ),
    ("effective-directive", "effectiveDirective"): _text(
        "The directive that was violated.", "script-src-elem"
    ),
    ("violated-directive", "violatedDirective"): _text(
        "The directive that was violated. Older browsers send only this member.", "script-src-elem"
    ),
    ("original-policy", "originalPolicy"): _text("The whole policy.", "script-src 'self'"),
    ("disposition", "disposition"): _text(
        "`enforce` if the browser blocked the source, `report` if it only reported it.", "enforce"
    ),
    ("source-file", "sourceFile"): _text(
        "The file with the code that caused the violation.",
        "https://coder.example.com/assets/index.js",
    ),
    ("script-sample", "sample"): _text("The beginning of the blocked code.", "alert("),
    ("status-code", "statusCode"): _number("The HTTP status of the page.", 200),
    ("line-number", "lineNumber"): _number("The line in the source file.", 12),
    ("column-number", "columnNumber"): _number("The column in that line.", 7),
}


def _violation(position: int, description: str) -> Schema:
    members = {names[position]: schema for names, schema in _MEMBERS.items()}
    return _object(members, description)


def _object(members: dict[str, Schema], description: str, *required: str) -> Schema:
    example = {name: schema["examples"][0] for name, schema in members.items()}
    return {
        "type": "object",
        "properties": members,
        **({"required": list(required)} if required else {}),
        "description": f"{description} Other members are stored too.",
        "examples": [example],
    }


def components() -> dict[str, Schema]:
    """Returns a dictionary with the schemas of the body and of its parts."""
    old = _violation(0, "A violation, with the member names of a `report-uri` report.")
    new = {"minProperties": 1} | _violation(
        1, "A violation, with the member names of the Reporting API."
    )
    legacy = _object({"csp-report": old}, "A report to `report-uri`.", "csp-report")
    modern = _object(
        {
            "type": _text(
                "The type of the report. Reports of other types are only counted.", VIOLATION_TYPE
            ),
            "age": _number("The time since the violation, in milliseconds.", 420),
            "url": _text("The page that sends the report.", "https://coder.example.com/"),
            "user_agent": _text("The user agent of the browser.", "Mozilla/5.0"),
            "body": new,
        },
        "A report of the Reporting API.",
        "body",
    )
    reports = {"type": "array", "items": _ref(MODERN), "minItems": 1, "maxItems": MAX_REPORTS}
    legacy["properties"]["csp-report"] = _ref(LEGACY_REPORT)
    modern["properties"]["body"] = _ref(MODERN_REPORT)
    return {
        LEGACY: wire.describe(LEGACY, legacy),
        LEGACY_REPORT: old,
        MODERN_REPORT: new,
        MODERN: modern,
        BODY: {
            "anyOf": [_ref(LEGACY), reports, _ref(MODERN)],
            "description": "One report, or an array of reports of the Reporting API.",
            "examples": [legacy["examples"][0], modern["examples"]],
        },
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


class ReportBodyExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = ReportBody

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return BODY

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        found = components()
        body = found.pop(BODY)
        for name, schema in {**found, INGEST_KEY: SCHEME}.items():
            kind = "securitySchemes" if name == INGEST_KEY else "schemas"
            component = ResolvedComponent(name, kind, schema, object=name)  # type: ignore[no-untyped-call]
            auto_schema.registry.register_on_missing(component)
        return body
