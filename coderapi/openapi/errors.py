"""The error responses that operations share."""

from __future__ import annotations

from dataclasses import dataclass

from coderapi.openapi import headers
from kernel.http.body import DEFAULT_CAP, too_large
from kernel.http.errors import (
    RETRY_SOON,
    APIError,
    Validation,
    forbidden,
    invalid,
    not_found,
    too_many,
    unavailable,
)
from kernel.http.headers import BYPASS_RATE_LIMIT
from kernel.http.wire import Schema


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error response. If several operations return it, it is a component of the schema."""

    name: str
    description: str
    example: APIError

    @property
    def ref(self) -> Schema:
        return {"$ref": f"#/components/responses/{self.name}"}

    def response(self) -> Schema:
        schema = {"$ref": "#/components/schemas/codersdk.Response"}
        content = {"schema": schema, "example": self.example.body()}
        return {
            "description": self.description,
            "headers": headers.refs(*headers.ALWAYS, *self.example.headers),
            "content": {"application/json": content},
        }


ERRORS = {
    answer.example.status: answer
    for answer in (
        ErrorAnswer(
            "BadRequest",
            "The request is not valid: the body is not JSON, or a member, parameter or header has "
            "a value that is not allowed. `validations` lists them.",
            invalid(Validation("username", "This field is required.")),
        ),
        ErrorAnswer(
            "Unauthorized",
            "The session token is missing, malformed, unknown or expired, or its user is "
            "suspended. `detail` has the cause.",
            APIError(
                401,
                "Your session has expired. Sign in again.",
                "The session token expired on 2026-01-20T13:59:29Z.",
                headers={"WWW-Authenticate": "Bearer"},
            ),
        ),
        ErrorAnswer(
            "Forbidden",
            "Your roles or the scopes of your session token do not allow this. `detail` names the "
            "missing role or scope.",
            forbidden("You need a role with the permission deployment_config:read."),
        ),
        ErrorAnswer(
            "NotFound",
            "The object does not exist, or you may not see it. Both cases have the same response.",
            not_found(),
        ),
        ErrorAnswer(
            "RequestTimeout",
            "The request body did not arrive in time.",
            APIError(408, "The request body did not arrive in time."),
        ),
        ErrorAnswer(
            "Conflict",
            "The request conflicts with an existing object, or with another change at the same "
            "time.",
            APIError(409, "The name is in use."),
        ),
        ErrorAnswer("Gone", "The key in the request was retired.", APIError(410, "It is gone.")),
        ErrorAnswer(
            "ContentTooLarge",
            "The request body is larger than this operation accepts. `detail` has the limit.",
            too_large(DEFAULT_CAP),
        ),
        ErrorAnswer(
            "UnsupportedMediaType",
            "The request body has a `Content-Encoding` that this operation does not accept.",
            APIError(415, "The request's content encoding is not supported."),
        ),
        ErrorAnswer(
            "TooManyRequests",
            "You sent too many requests in this minute. Requests are counted for each user, or for "
            "each IP address without a session token. Wait for `Retry-After` seconds. Owners "
            f"may send `{BYPASS_RATE_LIMIT}: true`.",
            too_many("The limit is 512 requests a minute."),
        ),
        ErrorAnswer(
            "ServiceUnavailable",
            "The service is unavailable right now, for example because its database cannot be "
            "reached. Nothing was written. Send the request again after `Retry-After` seconds.",
            unavailable(detail=""),
        ),
        ErrorAnswer(
            "GatewayTimeout",
            "The connection to the database was lost before the change was confirmed. Your change "
            "may have been written. Check before you send the request again.",
            APIError(504, "The database did not answer in time.", headers=RETRY_SOON),
        ),
    )
}
