"""The one shape of every error, and which error an operation may answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from kernel.http.errors import Validation, error_body
from kernel.http.rendering import WireSerializer
from kernel.http.schema import headers
from kernel.http.wire import Schema


class ValidationErrorSerializer(WireSerializer):
    component = "codersdk.ValidationError"
    example = {"field": "username", "detail": "This field is required."}

    field = serializers.CharField(help_text="The member of the request that was refused.")
    detail = serializers.CharField(help_text="What was expected of it.")


class ResponseSerializer(WireSerializer):
    component = "codersdk.Response"
    example = {"message": "The request is not valid.", "detail": "More about the cause."}

    message = serializers.CharField(help_text="One sentence for people.")
    detail = serializers.CharField(required=False, help_text="More about the cause.")
    validations = ValidationErrorSerializer(
        many=True, required=False, help_text="One entry for each refused field."
    )


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """One reason for which an operation is refused, as a component of the schema."""

    status: int
    name: str
    description: str
    message: str
    detail: str = ""
    validations: tuple[Validation, ...] = ()
    headers: tuple[str, ...] = ()

    @property
    def ref(self) -> Schema:
        return {"$ref": f"#/components/responses/{self.name}"}

    def response(self) -> Schema:
        example = error_body(self.message, detail=self.detail, validations=self.validations)
        return error_response(self.description, names=self.headers, example=example)


def error_response(
    description: str, *, names: tuple[str, ...] = (), example: dict[str, Any] | None = None
) -> Schema:
    content: Schema = {"schema": {"$ref": "#/components/schemas/codersdk.Response"}}
    if example:
        content["example"] = example
    return {
        "description": description,
        "headers": headers.refs(*headers.ALWAYS, *headers.RATE_LIMIT, *names),
        "content": {"application/json": content},
    }


ERRORS = {
    error.status: error
    for error in (
        ErrorAnswer(
            400,
            "BadRequest",
            "The request is not valid: its body is not JSON or a member of it is refused (one "
            "validation each), the Coder-Wire or Host header is unknown, or another site "
            "sent a write by cookie.",
            "The request is not valid.",
            validations=(Validation("username", "This field is required."),),
        ),
        ErrorAnswer(
            401,
            "Unauthorized",
            "There is no session token, or it is malformed, unknown, wrong or expired, or its user "
            "is suspended.",
            "Your session has expired. Sign in again.",
            detail="The session token expired on 2026-01-20T13:59:29Z.",
            headers=("WWW-Authenticate",),
        ),
        ErrorAnswer(
            403,
            "Forbidden",
            "The user's role does not allow it, or the session token's scopes do not.",
            "Forbidden.",
        ),
        ErrorAnswer(
            404,
            "NotFound",
            "There is no such object, or the caller may not see it: one answer for both.",
            "The resource was not found, or you may not see it.",
        ),
        ErrorAnswer(
            405,
            "MethodNotAllowed",
            "The route has no such method.",
            "Method not allowed.",
            headers=("Allow",),
        ),
        ErrorAnswer(
            408,
            "RequestTimeout",
            "The body did not arrive in time.",
            "The request body did not arrive in time.",
        ),
        ErrorAnswer(
            409, "Conflict", "It would stand in the way of what is there.", "The name is in use."
        ),
        ErrorAnswer(410, "Gone", "What the request stands on has been withdrawn.", "It is gone."),
        ErrorAnswer(
            413,
            "ContentTooLarge",
            "The body is larger than this operation takes.",
            "The request body is too large.",
            detail="The limit is 4194304 bytes.",
        ),
        ErrorAnswer(
            415,
            "UnsupportedMediaType",
            "The body has a content encoding that is not supported.",
            "The request's content encoding is not supported.",
        ),
        ErrorAnswer(
            429,
            "TooManyRequests",
            "Too many requests in this minute by this user, or from this address. An owner may "
            "send `X-Coder-Bypass-Ratelimit: true`.",
            "Too many requests.",
            detail="The limit is 512 requests a minute.",
            headers=("Retry-After",),
        ),
        ErrorAnswer(
            503,
            "ServiceUnavailable",
            "The database cannot be reached, or is too busy to answer within two seconds.",
            "The service is temporarily unavailable.",
            headers=("Retry-After",),
        ),
    )
}

ALWAYS = frozenset({400, 429, 503})
SECURED = frozenset({401, 403})
BELOW_AN_OBJECT = frozenset({404})
WITH_A_BODY = frozenset({408, 413})
