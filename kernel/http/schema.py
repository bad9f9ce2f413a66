"""Describes an operation for the OpenAPI document, and the JSON shape of messages and errors.

`coderapi.openapi` writes the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework import serializers

from kernel.http.views.rendering import WireSerializer

STABILITY = "x-stability"

# An experimental operation may change with each minor release (docs/stability.md).
type Stability = Literal["stable", "experimental"]


class ValidationErrorSerializer(WireSerializer):
    about = "A member of the request that is not valid."
    example = {"field": "username", "detail": "This field is required."}

    field = serializers.CharField(help_text="The name of the member, parameter or header.")
    detail = serializers.CharField(
        help_text="The reason why it is not valid, and the expected value."
    )


class ResponseSerializer(WireSerializer):
    about = "A message. It is the body of all errors, and of responses that only confirm success."
    example = {"message": "The request is not valid.", "detail": "Details about the cause."}

    message = serializers.CharField(help_text="One sentence for the user.")
    detail = serializers.CharField(
        required=False, help_text="Details about the cause. May be absent."
    )
    validations = ValidationErrorSerializer(
        many=True,
        required=False,
        help_text="The members of the request that are not valid. Absent for other errors.",
    )


def operation(
    summary: str,
    *,
    description: str,
    answers: Mapping[int, Any],
    body: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    auth: Any = None,
    stability: Stability | None = None,
) -> Callable[[Any], Any]:
    """Describes a view's method for the schema.

    The operation's id is the summary in kebab case, as in Coder's reference. The method gets the id
    as its attribute `operation_id`. `answers` has a serializer or a string for each status. A
    string is the cause of an error, or the message of a successful response. Only operations of
    coderapi's own have a `stability`.
    """
    operation_id = summary.lower().replace(" ", "-")
    describe = extend_schema(
        operation_id=operation_id,
        summary=summary,
        description=description,
        request=body,
        responses={status: _answer(status, answer) for status, answer in answers.items()},
        parameters=list(parameters),
        auth=auth,
        extensions={STABILITY: stability} if stability else None,
    )

    def described(method: Any) -> Any:
        method.operation_id, method.stability = operation_id, stability
        method.parameters = tuple(each.name for each in parameters)
        return describe(method)

    return described


def _answer(status: int, answer: Any) -> Any:
    if not isinstance(answer, str):
        return answer
    if status >= 400:
        return OpenApiResponse(ResponseSerializer, description=answer)
    example = OpenApiExample("message", {"message": answer})
    return OpenApiResponse(ResponseSerializer, examples=[example])
