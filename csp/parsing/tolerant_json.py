"""Parses JSON. Accepts some errors that browsers make, and replaces what PostgreSQL rejects."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from kernel.http.body import values_at_most
from kernel.http.errors import APIError

REPLACEMENT = "\ufffd"
MAX_DIGITS = 20
MAX_DEPTH = 32
# An array of 100 reports has only a few thousand values, even if each comma in a string counts as a
# value.
MAX_VALUES = 50_000


def load(body: bytes) -> Any:
    """Parses `body`, and replaces characters and numbers that PostgreSQL rejects.

    Invalid UTF-8, NUL and lone surrogates become U+FFFD. Numbers out of range become null. UTF-16,
    UTF-32 and control characters in strings are accepted.
    Raises: APIError 400 if the body is not JSON, or is nested too deeply.
    """
    if not body.strip():
        raise _not_json("The body is empty.")
    # Each value takes at least one byte.
    if len(body) > MAX_VALUES and values_at_most(body) > MAX_VALUES:
        raise _not_json(f"The body has more than {MAX_VALUES} values.")
    try:
        return _loaded(body)
    except RecursionError:
        raise _not_json("The body is nested too deeply.") from None
    except ValueError as error:
        raise _not_json(f"{str(error)[:200]}.") from None


def _loaded(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return cleaned(_loaded_tolerantly(body))
    # A value that orjson accepts needs cleaning only if it contains NUL or is nested deeply.
    is_clean = rb"\u0000" not in body and body.count(b"{") + body.count(b"[") <= MAX_DEPTH
    return value if is_clean else cleaned(value)


def _loaded_tolerantly(body: bytes) -> Any:
    """Parses JSON with the standard library, which accepts more than orjson."""
    text = body.decode(json.detect_encoding(body), errors="replace")
    return json.loads(
        text, strict=False, parse_int=_integer, parse_float=_float, parse_constant=_refuse
    )


def _integer(digits: str) -> int | None:
    # Check the length first, because `int` raises an error for a string of thousands of digits.
    number = int(digits) if len(digits) <= MAX_DIGITS else None
    return number if number is not None and -(2**63) <= number < 2**63 else None


def _float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def cleaned(value: Any, depth: int = 0) -> Any:
    """Replaces NUL and lone surrogates in the strings of the value.

    Raises: RecursionError if the value is nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, str):
        return cleaned_text(value)
    if isinstance(value, list):
        return [cleaned(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {cleaned_text(k): cleaned(v, depth + 1) for k, v in value.items()}
    return value


def cleaned_text(text: str) -> str:
    if text.isascii():
        return text.replace("\0", REPLACEMENT)
    valid = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return valid.replace("\0", REPLACEMENT)


def _not_json(detail: str) -> APIError:
    return APIError(400, "The request body must be valid JSON.", detail=detail)
