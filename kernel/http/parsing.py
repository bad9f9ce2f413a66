"""Parses request bodies as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django.http import HttpRequest, QueryDict

from kernel.http.errors import APIError

# Tiny values take many times the memory of their text, and while the interpreter makes a million
# of them its process answers nobody. No body that is meant has so many.
MAX_VALUES = 20_000


def values_at_most(body: bytes) -> int:
    """Returns a number that the JSON values in `body` do not exceed by more than one, unparsed."""
    return sum(map(body.count, (b"[", b"{", b",")))


def parse_json(body: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Parses the one JSON value in `body`. Content types are not inspected under /api/v2.

    orjson refuses what has no place in a database: NaN, lone surrogates, bytes that are not UTF-8,
    more than about a thousand levels, and anything after the value.

    Raises: APIError 400 that says where the text stops being JSON, or that it has too many values.
    """
    if not body.strip():
        raise APIError(400, "The request body must be valid JSON.", detail="The body is empty.")
    if values_at_most(body) > max_values:
        detail = f"It may have {max_values} values."
        raise APIError(400, "The request body's JSON has too many values.", detail=detail)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise APIError(
            400,
            "The request body must be valid JSON.",
            detail=f"{error.msg} (line {error.lineno}, column {error.colno}).",
        ) from None


def first_parameters(environ: Mapping[str, Any]) -> dict[str, str]:
    """Returns the query's parameters, the first value of each. Raises: TooManyFieldsSent."""
    query: str = environ.get("QUERY_STRING", "")
    if not query:
        return {}
    found = QueryDict(query.encode("latin-1"))
    return {name: str(values[0]) for name, values in found.lists() if values}


def json_body(request: HttpRequest) -> Any:
    return parse_json(request.body)


def json_object(request: HttpRequest) -> dict[str, Any]:
    """Parses the request's JSON object. Raises: APIError 400 for any other JSON value."""
    value = json_body(request)
    if not isinstance(value, dict):
        raise APIError(
            400,
            "The request body must be a JSON object.",
            detail=f"It is {JSON_NAMES[type(value)]}.",
        )
    return value


JSON_NAMES: dict[type, str] = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
    dict: "an object",
}
