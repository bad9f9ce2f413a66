"""Parses request bodies and query parameters by the same rules as Coder's server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from kernel.http.body import json_object
from kernel.http.errors import Validation, invalid, require_known
from kernel.http.views.rendering import WireSerializer
from kernel.text.durations import EPOCH
from kernel.text.values import parse_bool, parse_time

MAX_LIMIT = 1000
MAX_OFFSET = 2**31
# The beginning of the times that a query parameter accepts.
YEARS = r"^(19[7-9]\d|[2-8]\d{3})-"


class RequestSerializer(WireSerializer):
    """The base class for JSON request bodies.

    A member with the value null counts as absent. Coder ignores unknown members, so its requests
    ignore them here, too. Requests of coderapi's own operations reject them.
    """

    null_is_absent = True

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            if self.is_own():
                require_known(data, known=self.fields, kind="member")
            data = {name: value for name, value in data.items() if value is not None}
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """A string field that keeps surrounding spaces. Rejects numbers and booleans.

    `schema` describes the strings in the OpenAPI document, where the rule for them is elsewhere.
    """

    def __init__(
        self, *, allow_blank: bool = False, schema: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        # States in the schema that the string must not be empty.
        kwargs |= {} if allow_blank else {"min_length": 1}
        super().__init__(trim_whitespace=False, allow_blank=allow_blank, **kwargs)
        if schema:
            extend_schema_field({"type": "string", **schema})(cast("Any", self))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class OptionalTextField(TextField):
    """A string field that may be absent. An absent value is the same as an empty string."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_blank=True, default="", **kwargs)


class WholeNumberField(serializers.IntegerField):
    """An integer field. Rejects floats and strings."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


def read[S: RequestSerializer](serializer: type[S], request: Request) -> dict[str, Any]:
    """Returns the validated members of the body. Raises: APIError 400 or DRF's ValidationError."""
    found: dict[str, Any] = serializer().run_validation(json_object(request._request))
    return found


def whole_number(request: Request, name: str, *, limit: int) -> int:
    """Parses a query parameter as a whole number from 0 to `limit`. An absent parameter is 0.

    Raises: APIError 400.
    """
    text = request.query_params.get(name) or "0"
    # Check the length first, because Python's int() rejects very long numbers.
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
    if not 0 <= number <= limit:
        raise invalid(Validation(name, f"Must be a whole number from 0 to {limit}."))
    return number


def parse_moment(name: str, text: str | None, *, default: datetime | None = None) -> datetime:
    """Parses a time. An absent time without a `default` is an error.

    Raises: APIError 400 with the name of the parameter.
    """
    if default and not text:
        return default
    text = text or ""
    try:
        found = parse_time(text)
    except ValueError as error:
        raise invalid(Validation(name, f"{text[:64]!r} {error}.")) from None
    if not EPOCH <= found < datetime(9000, 1, 1, tzinfo=UTC):
        raise invalid(Validation(name, f"{text[:64]!r} is out of range."))
    return found


def moment_parameter(name: str, description: str) -> OpenApiParameter:
    """Describes a query parameter of `parse_moment` for the OpenAPI document."""
    schema = {"type": "string", "format": "date-time", "pattern": YEARS}
    return OpenApiParameter(name, schema, description=description)


def page_parameters(*, absent: str, skipped: str) -> list[OpenApiParameter]:
    """Describes the query parameters `limit` and `offset` for the OpenAPI document.

    `absent` is the page size if the request has no `limit`. `skipped` is what a row is, for example
    `users`.
    """
    return [
        OpenApiParameter(
            "limit",
            {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
            description=f"The maximum number of rows on the page. Absent or 0: {absent}.",
        ),
        OpenApiParameter(
            "offset",
            {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET},
            description=f"The number of {skipped} to skip before the page.",
        ),
    ]


def flag(request: Request, name: str) -> bool:
    """Parses a query parameter as a boolean by Go's rules. An absent parameter is false.

    Raises: APIError 400.
    """
    text = request.query_params.get(name, "")
    try:
        return bool(text) and parse_bool(text)
    except ValueError:
        raise invalid(Validation(name, "Must be true or false.")) from None


class BoundedListField(serializers.ListField):
    """A list field. Checks the length before the items, to reject a long list quickly."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and self.max_length and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class BoundedDictField(serializers.DictField):
    """An object field with at most `limit` members. Counts the members before it checks them."""

    default_error_messages = {"limit": "Ensure this object has no more than {limit} members."}

    def __init__(self, *, limit: int, **more: Any) -> None:
        self.limit = limit
        super().__init__(**more)

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        if isinstance(data, dict) and len(data) > self.limit:
            self.fail("limit", limit=self.limit)
        return super().to_internal_value(data)
