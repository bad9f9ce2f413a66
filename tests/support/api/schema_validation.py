"""Validates answers against the OpenAPI document of their wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from threading import Lock
from typing import Any

import jsonschema_rs
import orjson
from django.test import override_settings

from coderapi.openapi.document import openapi
from kernel.http import is_api_path
from kernel.http.wire import WireFormat

# The URI of the document in the validators.
DOCUMENT = "urn:openapi"
# The statuses that any path may return: for a wrong method, and for an unexpected exception.
ANYWHERE = frozenset({405, 500})
ERROR = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/codersdk.Response"}}}
}

type Schema = dict[str, Any]


def check_answer(answer: Any, *, method: str, path: str, wire: WireFormat) -> None:
    """Fails when the document does not describe this answer of the method and path.

    Paths outside the API and preflight requests are not in the document.
    """
    path = re.sub("//+", "/", path)
    if method == "OPTIONS" or not is_api_path(path):
        return
    operation = operation_of(wire, method=method, path=path)
    name = f"{method} {path} in the {wire} wire"
    promised = _promised(operation, answer.status_code, wire=wire)
    assert promised is not None, (
        f"{name} answered {answer.status_code}, which its schema lacks: "
        "add the answer to the `@operation` of its view"
    )
    _check_headers(answer.headers, promised, wire=wire, name=name)
    _check_body(answer, promised, method=method, wire=wire, name=name)


# drf-spectacular loads its extensions at the first use, which only one thread must do.
_generating = Lock()


@cache
def generated(wire: WireFormat) -> Schema:
    """Returns the document of all routes. The first test that needs it may have other routes."""
    with _generating, override_settings(ROOT_URLCONF="coderapi.urls"):
        return openapi(wire)


@cache
def document(wire: WireFormat) -> Schema:
    """Returns the document with closed objects, so that an undescribed member is an error."""
    closed: Schema = _closed(generated(wire))
    return closed


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _closed(item) for key, item in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        inner.setdefault("additionalProperties", False)
    return inner


def operation_of(wire: WireFormat, *, method: str, path: str) -> Schema | None:
    """Returns the operation, or None for an unknown route or method."""
    template = _template_of(wire, "/api/v2/" if path == "/api/v2" else path)
    if template is None:
        return None
    found: Schema | None = document(wire)["paths"][template].get(
        {"HEAD": "get"}.get(method, method.lower())
    )
    return found


@cache
def _routes(wire: WireFormat) -> list[tuple[re.Pattern[str], str]]:
    """Returns the routes with fixed paths first, because they win over parameters."""
    templates = sorted(document(wire)["paths"], key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in templates]


def _template_of(wire: WireFormat, path: str) -> str | None:
    return next((path_ for pattern, path_ in _routes(wire) if pattern.fullmatch(path)), None)


def _promised(operation: Schema | None, status: int, *, wire: WireFormat) -> Schema | None:
    if operation is None or status in ANYWHERE:
        return ERROR if status >= 400 else None
    found = operation["responses"].get(str(status))
    return resolved(found, wire=wire) if found else None


def resolved(node: Schema, *, wire: WireFormat) -> Schema:
    """Returns the target of a reference, or the node itself."""
    if "$ref" not in node:
        return node
    target: Any = document(wire)
    for key in node["$ref"].removeprefix("#/").split("/"):
        target = target[key]
    found: Schema = target
    return found


def _check_headers(
    headers: Mapping[str, str], promised: Schema, *, wire: WireFormat, name: str
) -> None:
    for header, node in promised.get("headers", {}).items():
        schema = resolved(node, wire=wire)
        assert header in headers or not schema.get("required"), f"{name} lacks {header}"


def _check_body(answer: Any, promised: Schema, *, method: str, wire: WireFormat, name: str) -> None:
    content = promised.get("content", {})
    body = answer.getvalue()
    if answer.streaming:
        # `getvalue` has read the stream. Let the test read it again.
        answer.streaming_content = [body]
    if method == "HEAD" or not content:
        assert not body, f"{name} answered {answer.status_code} with a body"
        return
    media_type = answer.headers["Content-Type"].partition(";")[0]
    assert media_type in content, f"{name} answered {media_type}"
    if answer.headers.get("Content-Encoding"):
        return
    schema = content[media_type]["schema"]
    problems = _validator(wire, orjson.dumps(schema)).iter_errors(orjson.loads(body))
    for problem in problems:
        where = "/".join(map(str, problem.instance_path))
        raise AssertionError(f"{name} is off its schema at /{where}: {problem.message[:500]}")


@cache
def _validator(wire: WireFormat, schema: bytes) -> jsonschema_rs.Validator:
    """Keeps one validator for each schema and wire: making one costs more than using it."""
    return validator_of(orjson.loads(schema), wire=wire)


def validator_of(schema: Schema, *, wire: WireFormat) -> jsonschema_rs.Validator:
    absolute = orjson.loads(orjson.dumps(schema).replace(b'"#/', f'"{DOCUMENT}#/'.encode()))
    return jsonschema_rs.Draft202012Validator(
        absolute, validate_formats=True, registry=_registry(wire)
    )


@cache
def _registry(wire: WireFormat) -> jsonschema_rs.Registry:
    """Returns the components, which all validators of the wire share."""
    shared = {"components": document(wire)["components"]}
    return jsonschema_rs.Registry([(DOCUMENT, shared)], draft=jsonschema_rs.Draft202012)
