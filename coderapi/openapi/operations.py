"""Describes operations, and adds the headers, parameters and errors that they share."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.serializers import PolymorphicProxySerializerExtension
from rest_framework import serializers

from coderapi.openapi import errors, headers
from kernel.http import headers as names
from kernel.http import wire
from kernel.http.errors import APIError
from kernel.http.schema import STABILITY
from kernel.http.views.rendering import WireSerializer
from kernel.http.wire import Schema, WireFormat

if TYPE_CHECKING:
    from drf_spectacular.utils import Direction

LEFT_OUT = frozenset({"default", "readOnly", "x-spec-enum-id"})
UNKNOWN_PARAMETERS = "Unknown query parameters are rejected."
PATH_PARAMETERS: dict[str, Schema] = {
    "user": {
        "description": "The user: a UUID, a username in upper or lower case, or `me` for the owner "
        "of the session token. The response is 400 if the user does not exist, or if you may not "
        "see the user.",
        "example": "me",
    },
    "key_id": {
        "description": "The key's id: the first ten characters of the session token.",
        "example": "aBcDeFgHiJ",
    },
    "name": {
        "description": "The token's name. It is unique among the user's tokens.",
        "example": "ci",
    },
    "group": {
        "description": "The id of the violation group.",
        "example": "0b2d7c51-6a3f-4c0e-9f57-2f8a4f6d1c22",
    },
    "organization": {
        "description": "The organization: its UUID, `coder`, or `default`.",
        "example": "coder",
    },
}


class OperationSchema(AutoSchema):
    """Adds headers, errors and the current wire format to the operations of a view."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Schema:
        operation: Schema = super().get_operation(*args, **kwargs)  # type: ignore[assignment]
        self._is_document = hasattr(self.view, "document") or "304" in operation["responses"]
        security = operation.setdefault("security", [])
        if wire.current() is WireFormat.CODERD and operation["operationId"] in wire.OPEN_TO_ANYBODY:
            operation["security"] = [{}, *security]
        if "requestBody" in operation:
            operation["requestBody"]["required"] = True
        more = f" {UNKNOWN_PARAMETERS}" if STABILITY in operation else ""
        return operation | {
            "description": f"{operation['description']}{more}",
            "parameters": self._parameters(operation),
            "responses": self._responses(operation),
        }

    def get_tags(self) -> list[str]:
        view: Any = self.view
        return [view.tag]

    def _parameters(self, operation: Schema) -> list[Schema]:
        own = [_described(parameter) for parameter in operation.get("parameters", [])]
        common = [names.WIRE_FORMAT, *(["If-None-Match"] if self._is_document else [])]
        return own + [{"$ref": f"#/components/parameters/{name}"} for name in common]

    def _responses(self, operation: Schema) -> dict[str, Schema]:
        declared: dict[str, Schema] = operation["responses"]
        errors = {str(status) for status in self._errors(operation)}
        codes = {*declared, *errors, *(["304"] if self._is_document else [])}
        return {code: self._response(code, declared.get(code), operation) for code in sorted(codes)}

    def _response(self, code: str, declared: Schema | None, operation: Schema) -> Schema:
        if code >= "400":
            return _error(int(code), declared=declared)
        own = headers.DOCUMENT if self._is_document else ()
        secured = (names.KEY_EXPIRES,) if operation["security"] else ()
        common = headers.refs(*headers.ALWAYS, *secured, *own)
        if code == "304" or declared is None:
            return {"description": "Your copy is still current.", "headers": common}
        content = {
            media_type: body | {"schema": wire.describe(operation["operationId"], body["schema"])}
            for media_type, body in declared.get("content", {}).items()
        }
        return {
            "description": declared["description"] or HTTPStatus(int(code)).phrase,
            "headers": common | declared.get("headers", {}),
            **({"content": content} if content else {}),
        }

    def _errors(self, operation: Schema) -> Iterator[int]:
        """Yields the statuses of the errors that the operation shares with others."""
        yield from (400, 429, 503)
        if operation["security"]:
            yield 401
        if "{" in self.path:
            yield 404
        if "requestBody" in operation:
            yield from (408, 413)
        if self.method != "GET" and getattr(self.view, "writes", True):
            yield 504


def _described(parameter: Schema) -> Schema:
    """Completes a parameter. An optional query parameter may be empty, and then counts as absent.

    Copies the description into the schema, because generated Python clients show only that one.
    """
    if parameter["in"] == "path":
        # Replaces the pattern generated from Django's path converter.
        text = {"schema": {"type": "string", "minLength": 1}}
        parameter |= text | PATH_PARAMETERS.get(parameter["name"], {})
    elif not parameter.get("required"):
        parameter["allowEmptyValue"] = True
    schema = parameter["schema"] | {"description": parameter["description"]}
    return parameter | {"schema": schema}


def _error(status: int, *, declared: Schema | None) -> Schema:
    """Returns the shared error response, or a separate one if the view describes this error."""
    common = errors.ERRORS[status]
    if declared and declared["description"]:
        text = declared["description"]
        example = APIError(status, text, headers=common.example.headers)
        return errors.ErrorAnswer(common.name, text, example).response()
    return common.ref


class WireComponent(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = WireSerializer
    match_subclasses = True
    target: WireSerializer

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str | None:
        return self.target.component

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        example = example_of(self.target)
        return {
            **(self.target.schema or self._members(auto_schema, direction)),
            "description": self.target.about,
            **({"examples": [example]} if example else {}),
        }

    def _members(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        documented: Schema = auto_schema._map_serializer(  # type: ignore[no-untyped-call]
            self.target, direction, bypass_extensions=True
        )
        described = wire.describe(self.target.component, documented)
        members = {name: _plain(member) for name, member in described["properties"].items()}
        if self.target.null_is_absent:
            optional = members.keys() - described.get("required", [])
            members |= {name: wire.nullable(members[name]) for name in optional}
            if self.target.is_own():
                described |= {"additionalProperties": False}
        return described | {"properties": members}


class ChoiceComponent(PolymorphicProxySerializerExtension):  # type: ignore[no-untyped-call]
    """Adds the help text of a polymorphic serializer to its schema."""

    target_class = "drf_spectacular.utils.PolymorphicProxySerializer"
    priority = 0

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        shapes: Schema = super().map_serializer(auto_schema, direction)  # type: ignore[no-untyped-call]
        return shapes | {"description": self.target.help_text}


def _plain(member: Schema) -> Schema:
    """Removes Django's additions to the schema of a member, and its default.

    openapi-typescript generates a required member if the schema has a default.
    """
    return {key: value for key, value in member.items() if key not in LEFT_OUT}


def example_of(serializer: WireSerializer) -> Any:
    """Returns an example in the current wire format, with the examples of nested serializers.

    Returns {} if the serializer or a nested serializer lacks an example.
    """
    example = dict(serializer.example)
    for name, field in serializer.fields.items():
        if isinstance(field, WireSerializer):
            example[name] = example_of(field)
            if not example[name]:
                return {}
        if isinstance(field, serializers.ListSerializer) and name not in example:
            child: Any = field.child
            example[name] = [example_of(child)]
    return wire.apply(serializer.component, example) if serializer.example else {}
