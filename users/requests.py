"""Request bodies and query parameters, read as Coder's server reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from kernel.http.body import json_object
from kernel.http.errors import Validation, invalid
from kernel.http.rendering import WireSerializer
from kernel.texts import parse_bool


class RequestSerializer(WireSerializer):
    """A request's JSON object. A member that is null counts as absent; unknown ones are ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            data = {name: value for name, value in data.items() if value is not None}
        return super().to_internal_value(data)


class TextField(serializers.CharField):
    """Text, kept as it is; a number or a boolean is refused."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class OptionalTextField(TextField):
    """Text that may be absent or empty, which is the same."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_blank=True, default="", **kwargs)


class WholeNumberField(serializers.IntegerField):
    """An integer; neither a float nor text that looks like one. 64-bit numbers keep every digit."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


def read[S: RequestSerializer](serializer: type[S], request: Request) -> dict[str, Any]:
    """Returns the request's validated members. Raises: APIError 400, or DRF's ValidationError."""
    wanted = serializer(data=json_object(request._request))
    wanted.is_valid(raise_exception=True)
    found: dict[str, Any] = wanted.validated_data
    return found


def whole_number(request: Request, name: str, *, default: int, most: int) -> int:
    """Reads a query parameter as a number from 0 to `most`. Raises: APIError 400."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    # A few digits are enough, and Python refuses to convert very many.
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
    if not 0 <= number <= most:
        raise invalid(Validation(name, f"A whole number from 0 to {most} is expected."))
    return number


def flag(request: Request, name: str) -> bool:
    """Reads a query parameter as Go reads a boolean; absent is false. Raises: APIError 400."""
    text = request.query_params.get(name, "")
    try:
        return bool(text) and parse_bool(text)
    except ValueError:
        raise invalid(Validation(name, "true or false is expected.")) from None


class BoundedListField(serializers.ListField):
    """A list whose length is checked before its items: a million bad ones cost nothing."""

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list) and self.max_length and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class BoundedDictField(serializers.DictField):
    """An object with at most `most` members, counted before any of them is checked."""

    default_error_messages = {"most": "Ensure this object has no more than {most} members."}

    def __init__(self, *, most: int, **more: Any) -> None:
        self.most = most
        super().__init__(**more)

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        if isinstance(data, dict) and len(data) > self.most:
            self.fail("most", most=self.most)
        return super().to_internal_value(data)
