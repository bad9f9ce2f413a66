"""Exceptions for error responses, which all have the JSON shape `{"message", "detail"?, ...}`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from kernel.http.responses import JSON_CONTENT_TYPE, Answer
from kernel.limiter import LimitReachedError

RETRY_SOON = {"Retry-After": "5"}
NOT_VALID = "The request is not valid."


@dataclass(frozen=True, slots=True)
class Validation:
    """An invalid member of a request: its name, and the error."""

    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field} {self.detail}".strip()


@dataclass(eq=False)
class APIError(Exception):
    """An error response as an exception. `kernel.http.views.handlers` renders it."""

    status: int
    message: str
    detail: str = ""
    validations: Sequence[Validation] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        """Returns the message and the detail for a caller that is not a client of the API.

        A request that is not valid concerns only a client.
        """
        message = "" if self.message == NOT_VALID else self.message
        return list(filter(None, [message, self.detail]))

    def answer(self) -> Answer:
        headers = {"Content-Type": JSON_CONTENT_TYPE, **self.headers}
        return Answer.whole(self.status, headers, orjson.dumps(self.body()))

    def body(self) -> dict[str, Any]:
        """Returns the error as a JSON object.

        Shape: message str, detail? str, validations? [{field str, detail str}].
        """
        body: dict[str, Any] = {"message": self.message}
        if self.detail:
            body["detail"] = self.detail
        if self.validations:
            body["validations"] = [asdict(each) for each in self.validations]
        return body


def invalid(*validations: Validation, message: str = NOT_VALID) -> APIError:
    """Makes a 400 error with one entry for each invalid field."""
    return APIError(400, message, validations=validations)


# The maximum number of unknown names that an error contains.
MAX_UNKNOWN = 20


def require_known(names: Iterable[str], *, known: Collection[str], kind: str) -> None:
    """Raises: APIError 400 with the unknown names. `kind` is what they name, such as a member."""
    if unknown := sorted({*names}.difference(known))[:MAX_UNKNOWN]:
        raise invalid(*(Validation(name[:64], unknown_name(known, kind)) for name in unknown))


def unknown_name(known: Collection[str], kind: str) -> str:
    """Returns the detail of an error about an unknown name."""
    return f"is not a {kind}. " + (
        f"The {kind}s are {', '.join(known)}." if known else f"There are no {kind}s."
    )


def not_found() -> APIError:
    """Makes the 404 error for an object that does not exist or that the caller may not see."""
    return APIError(404, "The resource was not found, or you may not see it.")


def forbidden(detail: str = "") -> APIError:
    return APIError(403, "Forbidden.", detail=detail)


def unavailable(detail: str = "The database cannot be reached right now.") -> APIError:
    return APIError(503, "The service is temporarily unavailable.", detail, headers=RETRY_SOON)


def limit_reached(error: LimitReachedError) -> APIError:
    """Makes a 429 error if the caller's own limit is reached, or a 503 error otherwise."""
    if not error.is_per_caller:
        return unavailable(error.detail)
    return too_many(error.detail)


def too_many(detail: str, headers: Mapping[str, str] = RETRY_SOON) -> APIError:
    return APIError(429, "Too many requests.", detail, headers=headers)


def commit_unknown() -> APIError:
    """Makes a 504 error, which means that the rows may or may not be written.

    A 503 error guarantees that no rows were written.
    """
    detail = "Your change may have been written. Check before you send the request again."
    return APIError(504, "The database did not answer in time.", detail, headers=RETRY_SOON)


def crashed(request_id: str) -> APIError:
    """Makes a 500 error that does not contain the cause. The cause is in the log."""
    detail = f"The server's log has the cause under the request id {request_id}."
    return APIError(500, "An internal error occurred.", detail=detail)
