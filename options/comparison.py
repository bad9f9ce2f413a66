"""Compares the catalogue with the configuration of a running Coder server.

The input is the response of `GET /deployment/config` in the coderd format. Descriptions, values and
sources of values are not compared: the descriptions are our own, and the others depend on the
server's settings. Only the JSON type of a value is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from options.catalogue import CATALOGUE
from options.configuration import load
from options.option_formats import CONFIG_FORMATS, Schema
from options.rendering import TRACE, options_document
from options.start import COMPUTED_DEFAULTS

OPTION, LEAF = "option", "leaf"
# The errors if the response has another form.
OTHER_FORM = (AttributeError, KeyError, TypeError, ValueError, RecursionError)

_FORM = CONFIG_FORMATS["coderd"]
_NOT_COMPARED = frozenset({"name", "description", "value_source"})
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
_ABSENT: dict[str, Any] = {"hidden": False, "required": False, "annotations": {}, "use_instead": []}
_ANY = "null"

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between Coder and the catalogue.

    `kind` is `option` or `leaf`, and `name` is the option's name or the leaf's path. `member` is
    the member that differs. It is empty if only one side has the option or the leaf. `coder` and
    `catalogue` are the JSON of each side, or None if that side does not have it. For a leaf, they
    are its JSON type.
    """

    kind: str
    name: str
    member: str = ""
    coder: Any = None
    catalogue: Any = None

    def __str__(self) -> str:
        name = self.name if self.name.isprintable() else repr(self.name)
        if self.member:
            values = f"{self.coder!r} in Coder, {self.catalogue!r} in the catalogue"
            return f"{self.kind} {name}: {self.member} is {values}"
        return f"{self.kind} {name}: only in {'Coder' if self.coder else 'the catalogue'}"


@dataclass(frozen=True, slots=True)
class _Leaf:
    kind: str
    is_optional: bool = False


def unknown_options(answer: Json) -> list[str]:
    """Returns the names of Coder's options that the catalogue does not have."""
    known = {option.name for option in CATALOGUE}
    return [option["name"] for option in answer["options"] if option["name"] not in known]


def differences(answer: Json) -> list[Difference]:
    """Returns the differences between Coder's response and the catalogue.

    Raises: one of `OTHER_FORM` if the response has another form.
    """
    access_url = str(answer["config"].get("access_url", ""))
    ours = load({"CODER_ACCESS_URL": access_url} if access_url else {})
    computed = {option.name for option in ours.options if option.json_path in COMPUTED_DEFAULTS}
    known = {each["name"]: each for each in options_document(ours, wire_format="coderd")}
    found = {str(each["name"]): each for each in answer["options"]}
    return [
        *_one_sided(OPTION, found, known),
        *(
            difference
            for name, option in found.items()
            if name in known
            for difference in _changed_members(option, known[name])
            if difference.member != "default" or name not in computed
        ),
        *_leaf_differences(answer["config"]),
    ]


def _one_sided(kind: str, coder: Json, catalogue: Json) -> Iterator[Difference]:
    for name in coder:
        if name not in catalogue:
            yield Difference(kind, name, coder=coder[name])
    for name in catalogue:
        if name not in coder:
            yield Difference(kind, name, catalogue=catalogue[name])


def _changed_members(coder: Json, catalogue: Json) -> Iterator[Difference]:
    for member in sorted({*coder, *catalogue} - _NOT_COMPARED):
        theirs, ours = _compared(member, coder), _compared(member, catalogue)
        if theirs != ours and not (member == "value" and _ANY in (theirs, ours)):
            yield Difference(OPTION, coder["name"], member, theirs, ours)


def _compared(member: str, option: Json) -> Any:
    """Returns the part of the member that is compared."""
    value = option.get(member, _ABSENT.get(member, ""))
    match member:
        case "group":
            return _group_path(value)
        case "use_instead":
            return [each["name"] for each in value]
        case "value":
            is_choice = isinstance(value, dict) and "Choices" in value
            return value["Choices"] if is_choice else _kind(option.get(member))
    return value


def _group_path(group: Json | None) -> list[str]:
    """Returns the names and YAML keys of the group and its parents, the outermost first."""
    if not group:
        return []
    return [*_group_path(group.get("parent")), f"{group['name']} ({group.get('yaml', '')})"]


def _kind(value: Any) -> str:
    return _ANY if value is None else _KINDS.get(type(value), "object")


# --- Leaves -----------------------------------------------------------------------------------


def _leaf_differences(config: Json) -> Iterator[Difference]:
    ours = _catalogue_leaves()
    theirs = dict(_leaves(config, ours))
    expected = {
        path: leaf.kind for path, leaf in ours.items() if not leaf.is_optional or path in theirs
    }
    yield from _one_sided(LEAF, theirs, expected)
    for path, kind in theirs.items():
        if path in ours and _ANY not in {kind, ours[path].kind} and kind != ours[path].kind:
            yield Difference(LEAF, path, "type", kind, ours[path].kind)


def _catalogue_leaves() -> dict[str, _Leaf]:
    """Returns the leaves of the configuration by path, with the members of records."""
    leaves = {TRACE: _Leaf("boolean")}
    for option in load({}).leaves:
        above, dot, last = option.json_path.rpartition(".")
        path = f"{above}{dot}{_FORM.keys.get(option.json_path, last)}"
        schema = _FORM.encodings[type(option.type)].schema
        leaves[path] = _Leaf(_schema_kind(schema), _FORM.may_leave_out(option))
        items = schema.get("anyOf", [schema])[0].get("items", {})
        component = items.get("$ref", "").rpartition("/")[2]
        members = _FORM.components[component]["properties"] if component else {}
        for member, inner in members.items():
            leaves[f"{path}[].{member}"] = _Leaf(_schema_kind(inner), is_optional=True)
    return leaves


def _schema_kind(schema: Schema) -> str:
    return str(schema["anyOf"][0]["type"] if "anyOf" in schema else schema["type"])


def _leaves(node: Json, known: Mapping[str, _Leaf], above: str = "") -> Iterator[tuple[str, str]]:
    """Yields the path and the kind of each leaf. A map that is a value of an option is a leaf."""
    for key, value in node.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and path not in known:
            yield from _leaves(value, known, f"{path}.")
            continue
        yield path, _kind(value)
        for record in value if isinstance(value, list) else ():
            if isinstance(record, dict):
                yield from _leaves(record, known, f"{path}[].")
