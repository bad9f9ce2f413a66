"""The JSON shape of all errors, and the error responses that operations share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from kernel.http.errors import Validation, error_body
from kernel.http.rendering import WireSerializer
from kernel.http.schema import headers
from kernel.http.wire import Schema


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


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error response that operations share, as a component of the schema."""

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
            "a value that is not allowed. `validations` lists them.",
            "The request is not valid.",
            validations=(Validation("username", "This field is required."),),
        ),
        ErrorAnswer(
            401,
            "Unauthorized",
            "The session token is missing, malformed, unknown or expired, or its user is "
            "suspended. `detail` has the cause.",
            "Your session has expired. Sign in again.",
            detail="The session token expired on 2026-01-20T13:59:29Z.",
            headers=("WWW-Authenticate",),
        ),
        ErrorAnswer(
            403,
            "Forbidden",
            "Your roles or the scopes of your session token do not allow this. `detail` names the "
            "missing role or scope.",
            "Forbidden.",
            detail="You need a role with the permission deployment_config:read.",
        ),
        ErrorAnswer(
            404,
            "NotFound",
            "The object does not exist, or you may not see it. Both cases have the same response.",
            "The resource was not found, or you may not see it.",
        ),
        ErrorAnswer(
            408,
            "RequestTimeout",
            "The request body did not arrive in time.",
            "The request body did not arrive in time.",
        ),
        ErrorAnswer(
            409,
            "Conflict",
            "The request conflicts with an existing object, or with another change at the same "
            "time.",
            "The name is in use.",
        ),
        ErrorAnswer(410, "Gone", "The key in the request was retired.", "It is gone."),
        ErrorAnswer(
            413,
            "ContentTooLarge",
            "The request body is larger than this operation accepts. `detail` has the limit.",
            "The request body is too large.",
            detail="The limit is 4194304 bytes.",
        ),
        ErrorAnswer(
            415,
            "UnsupportedMediaType",
            "The request body has a `Content-Encoding` that this operation does not accept.",
            "The request's content encoding is not supported.",
        ),
        ErrorAnswer(
            429,
            "TooManyRequests",
            "You sent too many requests in this minute. Requests are counted for each user, or for "
            "each IP address without a session token. Wait for `Retry-After` seconds. Owners "
            "may send `X-Coder-Bypass-Ratelimit: true`.",
            "Too many requests.",
            detail="The limit is 512 requests a minute.",
            headers=("Retry-After",),
        ),
        ErrorAnswer(
            503,
            "ServiceUnavailable",
            "The service is unavailable right now, for example because its database cannot be "
            "reached. Nothing was written. Send the request again after `Retry-After` seconds.",
            "The service is temporarily unavailable.",
            headers=("Retry-After",),
        ),
        ErrorAnswer(
            504,
            "GatewayTimeout",
            "The connection to the database was lost before the change was confirmed. Your change "
            "may have been written. Check before you send the request again.",
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
