"""Describes operations, and adds the headers, parameters and errors that they share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.serializers import PolymorphicProxySerializerExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework import serializers

from kernel.http import wire
from kernel.http.errors import APIError
from kernel.http.rendering import WireSerializer
from kernel.http.schema import errors, headers
from kernel.http.wire import Schema, Wire

if TYPE_CHECKING:
    from drf_spectacular.utils import Direction

LEFT_OUT = frozenset({"default", "readOnly", "x-spec-enum-id"})
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
_TEXT: Schema = {"type": "string", "minLength": 1}
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class OperationSchema(AutoSchema):
    """Adds headers, errors and the current wire format to the operations of a view."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Schema | None:
        operation: Schema | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        return operation | {
            **self._security(operation),
            **_required_body(operation),
            "parameters": self._parameters(operation),
            "responses": self._responses(operation),
        }

    @property
    def _is_document(self) -> bool:
        return hasattr(self.view, "document") or "304" in map(str, self._declared())

    def _declared(self) -> Collection[Any]:
        declared: Any = self.get_response_serializers()
        return declared if isinstance(declared, dict) else ()

    def _security(self, operation: Schema) -> Schema:
        schemes = operation.get("security", [])
        is_open = operation["operationId"] in wire.OPEN_TO_ANYBODY
        if is_open and wire.current() is Wire.CODERD:
            return {"security": [{}, *schemes]}
        return {"security": schemes}

    def _parameters(self, operation: Schema) -> list[Schema]:
        own = [_described(parameter) for parameter in operation.get("parameters", [])]
        common = ["Coder-Wire", *(["If-None-Match"] if self._is_document else [])]
        return own + [headers.parameter_ref(name) for name in common]

    def _responses(self, operation: Schema) -> dict[str, Schema]:
        declared: dict[str, Schema] = operation["responses"]
        answers = {
            code: self._success(answer, operation, code=code)
            for code, answer in declared.items()
            if code < "300"
        }
        if self._is_document:
            answers["304"] = {
                "description": "Your copy is still current.",
                "headers": self._headers(operation),
            }
        bad = {int(code): answer for code, answer in declared.items() if code >= "400"}
        for status in sorted({*bad, *self._errors(operation)}):
            answers[str(status)] = _error(status, declared=bad.get(status))
        return answers

    def _headers(self, operation: Schema) -> Schema:
        own = headers.DOCUMENT if self._is_document else ()
        secured = ("Sunset",) if operation.get("security") else ()
        return headers.refs(*headers.ALWAYS, *secured, *own)

    def _success(self, answer: Schema, operation: Schema, *, code: str) -> Schema:
        described = {
            "description": answer["description"] or HTTPStatus(int(code)).phrase,
            "headers": self._headers(operation) | answer.get("headers", {}),
        }
        content = {
            media_type: body | {"schema": wire.describe(operation["operationId"], body["schema"])}
            for media_type, body in answer.get("content", {}).items()
        }
        return described | ({"content": content} if content else {})

    def _errors(self, operation: Schema) -> Iterator[int]:
        yield from (400, 429, 503)
        if operation.get("security"):
            yield 401
        if "{" in self.path:
            yield 404
        if "requestBody" in operation:
            yield from (408, 413)
        if self.method in WRITES and getattr(self.view, "writes", True):
            yield 504


def _required_body(operation: Schema) -> Schema:
    if "requestBody" not in operation:
        return {}
    return {"requestBody": operation["requestBody"] | {"required": True}}


def _described(parameter: Schema) -> Schema:
    """Copies a parameter's description into the parameter's schema.

    Generated Python clients show only the description in the schema.
    """
    if parameter["in"] == "path":
        # Replaces the pattern generated from Django's path converter.
        parameter |= {"schema": _TEXT} | PATH_PARAMETERS.get(parameter["name"], {})
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


def operation(
    summary: str,
    *,
    tag: str,
    description: str,
    answers: Mapping[int, Any],
    body: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    auth: Any = None,
) -> Callable[[Any], Any]:
    """Describes a view's method for the schema.

    The operation's id is the summary in kebab case, as in Coder's reference. The method gets the id
    as its attribute `operation_id`. `answers` has a serializer or a string for each status. A
    string is the cause of an error, or the message of a successful response.
    """
    operation_id = summary.lower().replace(" ", "-")
    describe = extend_schema(
        operation_id=operation_id,
        summary=summary,
        tags=[tag],
        description=description,
        request=body,
        responses={status: _answer(status, answer) for status, answer in answers.items()},
        parameters=list(parameters),
        auth=auth,
    )

    def described(method: Any) -> Any:
        method.operation_id = operation_id
        return describe(method)

    return described


def _answer(status: int, answer: Any) -> Any:
    if not isinstance(answer, str):
        return answer
    if status >= 400:
        return OpenApiResponse(errors.ResponseSerializer, description=answer)
    example = OpenApiExample("message", {"message": answer})
    return OpenApiResponse(errors.ResponseSerializer, examples=[example])


class WireComponent(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = WireSerializer
    match_subclasses = True
    target: WireSerializer

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str | None:
        return self.target.component or None

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
        members = described["properties"].items()
        return described | {"properties": {name: _plain(member) for name, member in members}}


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
        if isinstance(field, WireSerializer) and not (inner := example_of(field)):
            return {}
        if isinstance(field, WireSerializer):
            example[name] = inner
        if isinstance(field, serializers.ListSerializer) and name not in example:
            child = field.child
            example[name] = [example_of(child)] if isinstance(child, WireSerializer) else []
    return wire.apply(serializer.component, example) if serializer.example else {}
