"""The two wire formats, and the table of all differences between them.

Serializers produce the documented format, as in Coder's API reference. Coder's own clients expect
the coderd format. This module converts responses from the documented format to the coderd format.
Each row of `TABLE` is for a component of the schema or for an operation. A row has two functions:
one converts the response, the other converts the response's JSON schema. Views do not depend on the
wire format.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kernel.http.call import Call
from kernel.http.errors import Validation, invalid
from kernel.http.headers import WIRE_FORMAT
from kernel.settings import settings

_HEADER = WIRE_FORMAT.lower()


class WireFormat(StrEnum):
    DOCUMENTED = "documented"
    CODERD = "coderd"


_current: ContextVar[WireFormat] = ContextVar("wire_format", default=WireFormat.DOCUMENTED)


def current() -> WireFormat:
    """Returns the wire format of the current response."""
    return _current.get()


@contextmanager
def using(wire_format: WireFormat) -> Iterator[None]:
    token = _current.set(wire_format)
    try:
        yield
    finally:
        _current.reset(token)


def chosen(call: Call, found: object) -> WireFormat:
    """Returns the wire format that the header of the request names, or that of the setting.

    This is a step of a request. Raises: APIError 400 for an unknown format.
    """
    header = call.headers.get(_HEADER)
    if header is None:
        return settings.WIRE_FORMAT
    try:
        return WireFormat(header)
    except ValueError:
        problem = Validation(WIRE_FORMAT, f"must be {' or '.join(WireFormat)}, not {header[:64]!r}")
        raise invalid(problem, message=f"The header {WIRE_FORMAT} is not valid.") from None


type Schema = dict[str, Any]


def _unchanged[T](documented: T) -> T:
    return documented


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of the table of differences.

    `value` converts a response to the coderd format. `schema` converts its JSON schema. `only` are
    the members that the documented format does not have.
    """

    value: Callable[[Any], Any] = _unchanged
    schema: Callable[[Schema], Schema] = _unchanged
    only: tuple[str, ...] = ()

    def documented(self, value: Any) -> Any:
        """Returns the value without the members that only the coderd format has."""
        return _without(value, self.only) if self.only else value

    def documented_schema(self, schema: Schema) -> Schema:
        if not self.only:
            return schema
        required = [name for name in schema["required"] if name not in self.only]
        properties = _without(schema["properties"], self.only)
        return schema | {"properties": properties, "required": required}


def _without(members: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: member for name, member in members.items() if name not in names}


def apply(name: str, documented: Any) -> Any:
    """Converts a component, or the response of an operation, to the current wire format."""
    if name not in TABLE:
        return documented
    row = TABLE[name]
    return (row.documented if current() is WireFormat.DOCUMENTED else row.value)(documented)


def describe(name: str, documented: Schema) -> Schema:
    """Converts the JSON schema of a component or a response to the current wire format."""
    if name not in TABLE:
        return documented
    row = TABLE[name]
    return (row.documented_schema if current() is WireFormat.DOCUMENTED else row.schema)(documented)


def _renamed(names: Mapping[str, str]) -> Difference:
    def renamed(members: dict[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): member for name, member in members.items()}

    def schema(documented: Schema) -> Schema:
        required = [names.get(name, name) for name in documented["required"]]
        return documented | {"properties": renamed(documented["properties"]), "required": required}

    return Difference(renamed, schema)


def _optional(*names: str) -> Callable[[Schema], Schema]:
    def schema(documented: Schema) -> Schema:
        required = [name for name in documented.get("required", []) if name not in names]
        rest = {key: value for key, value in documented.items() if key != "required"}
        return rest | ({"required": required} if required else {})

    return schema


def _without_empty(*names: str) -> Difference:
    def value(documented: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in documented.items() if k not in names or v not in ("", None, [])}

    return Difference(value, _optional(*names))


def _inside(member: str, description: str) -> Difference:
    """Wraps the response in an object with a single member."""

    def schema(documented: Schema) -> Schema:
        members = {member: documented | {"description": description}}
        return {"type": "object", "properties": members, "required": [member]}

    return Difference(lambda value: {member: value}, schema)


def nullable(schema: Schema) -> Schema:
    """Returns the schema of the same values and null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return schema | {"type": [schema["type"], "null"]}
    about = {key: value for key, value in schema.items() if key in {"description", "deprecated"}}
    values = _without(schema, about)
    # The schema of a reference with a description.
    [values] = values["allOf"] if values.keys() == {"allOf"} else [values]
    return {"anyOf": [values, {"type": "null"}], **about}


def _allow_list_as_strings(key: dict[str, Any]) -> dict[str, Any]:
    allowed = [f"{item['type']}:{item['id']}" for item in key["allow_list"]]
    return {**key, "allow_list": allowed}


def _allow_list_of_strings(documented: Schema) -> Schema:
    texts = {
        "type": "array",
        "items": {"type": "string", "examples": ["*:*"]},
        "description": "The objects that the key may act on, each as `type:id`. `*` means all.",
    }
    return documented | {"properties": documented["properties"] | {"allow_list": texts}}


def _web_push_by_experiment(build: dict[str, Any]) -> dict[str, Any]:
    if "web-push" in (name.lower() for name in settings.EXPERIMENTS):
        return build
    return {k: v for k, v in build.items() if k != "webpush_public_key"}


TABLE: dict[str, Difference] = {
    "codersdk.BuildInfoResponse": Difference(
        _web_push_by_experiment,
        # Releases of Coder before 2.38 do not have the second member.
        _optional("webpush_public_key", "oauth2_provider"),
        only=("oauth2_provider",),
    ),
    "codersdk.SessionCountDeploymentStats": Difference(only=("apps",)),
    "codersdk.WorkspaceConnectionLatencyMS": _renamed({"p50": "P50", "p95": "P95"}),
    "get-safe-experiments": _inside("safe", "The names of the experiments."),
    "get-user-tokens": Difference(lambda tokens: tokens or None, nullable),
    "codersdk.User": _without_empty("name", "avatar_url", "theme_preference"),
    "codersdk.OrganizationMemberWithUserData": _without_empty("name", "avatar_url"),
    "codersdk.APIKey": Difference(_allow_list_as_strings, _allow_list_of_strings),
    "codersdk.APIKeyWithOwner": Difference(_allow_list_as_strings, _allow_list_of_strings),
    # The documented format rejects `{}` and `null`. The coderd format accepts them, and nothing is
    # stored.
    "coderd.cspViolation": Difference(_unchanged, _optional("csp-report")),
    "report-csp-violations/nothing": Difference(lambda refusal: None, _unchanged),
}
# These operations need a token only if the setting CODERAPI_WIRE_FORMAT is `documented`. The
# header changes only the format of the response.
OPEN_TO_ANYBODY = frozenset({"report-csp-violations"})
