"""The two wire formats, and the one table of all that differs between them.

Serializers produce the documented form, which is the reference page's. The coderd form, which Coder's own clients
decode, is made from it here: `TABLE` names a component of the schema (or an operation) and the function that turns
its documented form into the other. Views know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from coderapi.errors import APIError, Validation

HEADER = "Coder-Wire"


class Wire(StrEnum):
    DOCUMENTED = "documented"
    CODERD = "coderd"


_current: ContextVar[Wire] = ContextVar("wire", default=Wire.DOCUMENTED)


def current() -> Wire:
    """The wire format that the answer in the making is for."""
    return _current.get()


@contextmanager
def using(wire: Wire) -> Iterator[None]:
    token = _current.set(wire)
    try:
        yield
    finally:
        _current.reset(token)


def chosen(header: str | None, *, default: Wire) -> Wire:
    """The wire format that a request's `Coder-Wire` header asks for, else the server's.

    Raises: APIError 400 for any other value.
    """
    if not header:
        return default
    try:
        return Wire(header)
    except ValueError:
        accepted = " or ".join(Wire)
        raise APIError(
            400,
            f"The header {HEADER} is not valid.",
            validations=[Validation(HEADER, f"{header[:64]!r} is not {accepted}.")],
        ) from None


def apply(name: str, documented: Any, *, wire: Wire | None = None) -> Any:
    """What `documented`, an instance of the component or operation `name`, looks like on the wire."""
    if (wire or current()) is Wire.DOCUMENTED or name not in TABLE:
        return documented
    return TABLE[name](documented)


def _without_empty(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def leave_out(value: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in value.items() if k not in names or v not in ("", None, [])}

    return leave_out


def _renamed(names: Mapping[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda value: {names.get(k, k): v for k, v in value.items()}


def _allow_list_as_strings(key: dict[str, Any]) -> dict[str, Any]:
    allowed = [f"{item['type']}:{item['id']}" for item in key["allow_list"]]
    return {**key, "allow_list": allowed}


TABLE: dict[str, Callable[[Any], Any]] = {
    "codersdk.ConnectionLatency": _renamed({"p50": "P50", "p95": "P95"}),
    "get-safe-experiments": lambda names: {"safe": names},
    "get-user-tokens": lambda tokens: tokens or None,
    "codersdk.User": _without_empty("name", "avatar_url", "theme_preference"),
    "codersdk.APIKey": _allow_list_as_strings,
}
