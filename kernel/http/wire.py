"""The two wire formats, and the one table of all that differs between them.

Serializers produce the documented form, which is the reference page's. The coderd form, which
Coder's own clients decode, is made from it here: a row of `TABLE` names a component of the schema,
or an operation, and has the function that turns its documented form into the other, and the one
that turns the JSON schema of it. Views know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings

from kernel.http.errors import APIError, Validation

HEADER = "Coder-Wire"


class Wire(StrEnum):
    DOCUMENTED = "documented"
    CODERD = "coderd"


_current: ContextVar[Wire] = ContextVar("wire", default=Wire.DOCUMENTED)


def current() -> Wire:
    """Returns the wire format of the answer that is being made."""
    return _current.get()


@contextmanager
def using(wire: Wire) -> Iterator[None]:
    token = _current.set(wire)
    try:
        yield
    finally:
        _current.reset(token)


def chosen(header: str | None, *, default: Wire) -> Wire:
    """Returns the wire format that the `Coder-Wire` header asks for, else the server's.

    Raises: APIError 400 for any other value.
    """
    if header is None:
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


type Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of the table, which makes the coderd form from the documented one.

    `value` turns what is answered, `schema` the JSON schema that describes it.
    """

    value: Callable[[Any], Any]
    schema: Callable[[Schema], Schema]


def apply(name: str, documented: Any, *, wire: Wire | None = None) -> Any:
    """Turns an instance of the component (or operation) `name` into its form on the wire."""
    if (wire or current()) is Wire.DOCUMENTED or name not in TABLE:
        return documented
    return TABLE[name].value(documented)


def describe(name: str, documented: Schema, *, wire: Wire | None = None) -> Schema:
    """Turns the JSON schema of the component (or operation) `name` into that of its form."""
    if (wire or current()) is Wire.DOCUMENTED or name not in TABLE:
        return documented
    return TABLE[name].schema(documented)


def _unchanged[T](documented: T) -> T:
    return documented


def _renamed(names: Mapping[str, str]) -> Difference:
    def renamed(members: dict[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): member for name, member in members.items()}

    def schema(documented: Schema) -> Schema:
        required = [names.get(name, name) for name in documented["required"]]
        return documented | {
            "properties": renamed(documented["properties"]),
            "required": required,
        }

    return Difference(renamed, schema)


def _optional(*names: str) -> Callable[[Schema], Schema]:
    def schema(documented: Schema) -> Schema:
        required = [name for name in documented.get("required", []) if name not in names]
        rest = {key: value for key, value in documented.items() if key != "required"}
        return rest | ({"required": required} if required else {})

    return schema


def _without_empty(*names: str) -> Difference:
    def leave_out(value: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in value.items() if k not in names or v not in ("", None, [])}

    return Difference(leave_out, _optional(*names))


def _inside(member: str, description: str) -> Difference:
    """Makes the answer the one member of an object."""

    def schema(documented: Schema) -> Schema:
        members = {member: documented | {"description": description}}
        return {"type": "object", "properties": members, "required": [member]}

    return Difference(lambda value: {member: value}, schema)


def _null_when_empty(documented: Schema) -> Schema:
    return {"anyOf": [documented, {"type": "null"}]}


def _allow_list_as_strings(key: dict[str, Any]) -> dict[str, Any]:
    allowed = [f"{item['type']}:{item['id']}" for item in key["allow_list"]]
    return {**key, "allow_list": allowed}


def _allow_list_of_strings(documented: Schema) -> Schema:
    texts = {
        "type": "array",
        "items": {"type": "string", "examples": ["*:*"]},
        "description": "The objects that the key may act on, each as `type:id`. `*` is every one.",
    }
    return documented | {"properties": documented["properties"] | {"allow_list": texts}}


def _web_push_by_experiment(build: dict[str, Any]) -> dict[str, Any]:
    enabled = (name.lower() for name in settings.EXPERIMENTS)
    return build if "web-push" in enabled else _without("webpush_public_key", build)


def _without(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in value.items() if k != name}


TABLE: dict[str, Difference] = {
    "codersdk.BuildInfoResponse": Difference(
        _web_push_by_experiment, _optional("webpush_public_key")
    ),
    "codersdk.WorkspaceConnectionLatencyMS": _renamed({"p50": "P50", "p95": "P95"}),
    "get-safe-experiments": _inside("safe", "The names of the experiments."),
    "get-user-tokens": Difference(lambda tokens: tokens or None, _null_when_empty),
    "codersdk.User": _without_empty("name", "avatar_url", "theme_preference"),
    "codersdk.OrganizationMemberWithUserData": _without_empty("name", "avatar_url"),
    "codersdk.APIKey": Difference(_allow_list_as_strings, _allow_list_of_strings),
    "codersdk.APIKeyWithOwner": Difference(_allow_list_as_strings, _allow_list_of_strings),
    # A report of nothing is refused in the documented wire, and taken without being kept here.
    "coderd.cspViolation": Difference(_unchanged, _optional("csp-report")),
    "report-csp-violations/nothing": Difference(lambda refusal: None, _unchanged),
}
# The documented wire asks for a token here, and the coderd wire does not. The server's own wire
# decides: a request's header changes form only.
OPEN_TO_ANYBODY = frozenset({"report-csp-violations"})
