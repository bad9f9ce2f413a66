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
    about = "A member of the request that was refused."
    example = {"field": "username", "detail": "This field is required."}

    field = serializers.CharField(
        help_text="The name of the member, parameter or header that was refused."
    )
    detail = serializers.CharField(help_text="The reason, with what is expected.")


class ResponseSerializer(WireSerializer):
    component = "codersdk.Response"
    about = "A message. Every error has this shape, and so do answers that only confirm."
    example = {"message": "The request is not valid.", "detail": "More about the cause."}

    message = serializers.CharField(help_text="What happened, in one sentence for people.")
    detail = serializers.CharField(
        required=False, help_text="More about the cause. Absent where there is no more to say."
    )
    validations = ValidationErrorSerializer(
        many=True,
        required=False,
        help_text="The members of the request that were refused. Absent where none was.",
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
            "The request is not valid: the body is not JSON, or a member, parameter or header has "
            "a value that is not allowed (`validations` names each).",
            "The request is not valid.",
            validations=(Validation("username", "This field is required."),),
        ),
        ErrorAnswer(
            401,
            "Unauthorized",
            "The session token is missing, malformed, unknown or expired, or its user is "
            "suspended. `detail` names the cause.",
            "Your session has expired. Sign in again.",
            detail="The session token expired on 2026-01-20T13:59:29Z.",
            headers=("WWW-Authenticate",),
        ),
        ErrorAnswer(
            403,
            "Forbidden",
            "The caller's roles or the session token's scopes do not allow it. `detail` names what "
            "is missing.",
            "Forbidden.",
            detail="This needs a role that may deployment_config:read.",
        ),
        ErrorAnswer(
            404,
            "NotFound",
            "The object does not exist, or the caller may not see it. Both get the same answer.",
            "The resource was not found, or you may not see it.",
        ),
        ErrorAnswer(
            408,
            "RequestTimeout",
            "The request's body did not arrive in time.",
            "The request body did not arrive in time.",
        ),
        ErrorAnswer(
            409,
            "Conflict",
            "The request conflicts with what exists, or with a change at the same moment.",
            "The name is in use.",
        ),
        ErrorAnswer(410, "Gone", "The key that the request needs was withdrawn.", "It is gone."),
        ErrorAnswer(
            413,
            "ContentTooLarge",
            "The request's body is larger than this operation accepts. `detail` names the limit.",
            "The request body is too large.",
            detail="The limit is 4194304 bytes.",
        ),
        ErrorAnswer(
            415,
            "UnsupportedMediaType",
            "The request's body has a `Content-Encoding` that this operation does not accept.",
            "The request's content encoding is not supported.",
        ),
        ErrorAnswer(
            429,
            "TooManyRequests",
            "The caller sent too many requests in this minute: counted by user, or by address "
            "where no session token is sent. `Retry-After` says how long to wait. Owners may send "
            "`X-Coder-Bypass-Ratelimit: true`.",
            "Too many requests.",
            detail="The limit is 512 requests a minute.",
            headers=("Retry-After",),
        ),
        ErrorAnswer(
            503,
            "ServiceUnavailable",
            "The service cannot answer right now, for example because its database is away. "
            "Nothing was written: send the request again after `Retry-After` seconds.",
            "The service is temporarily unavailable.",
            headers=("Retry-After",),
        ),
        ErrorAnswer(
            504,
            "GatewayTimeout",
            "The database's answer was lost, so the change may have been written or not. Look "
            "before you send the request again.",
            "The database did not answer in time.",
            headers=("Retry-After",),
        ),
    )
}

ALWAYS = frozenset({400, 429, 503})
SECURED = frozenset({401})
BELOW_AN_OBJECT = frozenset({404})
WITH_A_BODY = frozenset({408, 413})
THAT_WRITES = frozenset({504})
