"""Compares the catalogue with the configuration of a running Coder server.

The differences can be written as lines to paste into `catalogue.toml`.

The input is the response of `GET /deployment/config` in the coderd format. Descriptions, values and
sources of values are not compared: the descriptions are our own, and the others depend on the
server's settings. Only the JSON type of a value is compared.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from options.catalogue import CATALOGUE, GROUP_BY_KEY, Entry, parse_option
from options.configuration import load
from options.option_formats import CONFIG_FORMATS, Schema
from options.rendering import options_document
from options.schema import Leaf, leaves
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
            return group_path(value)
        case "use_instead":
            return [each["name"] for each in value]
        case "value":
            is_choice = isinstance(value, dict) and "Choices" in value
            return value["Choices"] if is_choice else _kind(option.get(member))
    return value


def group_path(group: Json | None) -> list[str]:
    """Returns the names and YAML keys of the group and its parents, the outermost first."""
    if not group:
        return []
    return [*group_path(group.get("parent")), f"{group['name']} ({group.get('yaml', '')})"]


def _kind(value: Any) -> str:
    return _ANY if value is None else _KINDS.get(type(value), "object")


# --- Leaves -----------------------------------------------------------------------------------


def _leaf_differences(config: Json) -> Iterator[Difference]:
    known = leaves(_FORM)
    # The members of records are absent without a record.
    known |= {
        f"{path}[].{member}": Leaf(inner, optional=True)
        for path, leaf in known.items()
        for member, inner in _record_members(leaf.schema).items()
    }
    theirs = dict(_leaves(config, known))
    expected = {
        path: _schema_kind(leaf.schema)
        for path, leaf in known.items()
        if path in theirs or not leaf.optional
    }
    yield from _one_sided(LEAF, theirs, expected)
    for path, kind in theirs.items():
        if path in expected and _ANY not in {kind, expected[path]} and kind != expected[path]:
            yield Difference(LEAF, path, "type", kind, expected[path])


def _schema_kind(schema: Schema) -> str:
    return str(schema["anyOf"][0]["type"] if "anyOf" in schema else schema["type"])


def _record_members(schema: Schema) -> Json:
    """Returns the schemas of the members, if the values are lists of records."""
    items = schema.get("anyOf", [schema])[0].get("items", {})
    component = items.get("$ref", "").rpartition("/")[2]
    return dict(_FORM.components[component]["properties"]) if component else {}


def _leaves(node: Json, known: Collection[str], above: str = "") -> Iterator[tuple[str, str]]:
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


# --- Lines of catalogue.toml ------------------------------------------------------------------

_TYPES = {bool: "bool", int: "int", list: "string-array"}
_MARKS = ("enterprise", "external_workspace_proxies", "secret")
_KEYS = {
    tuple(f"{each.name} ({each.yaml})" for each in group.lineage): key
    for key, group in GROUP_BY_KEY.items()
}


def lines(found: Iterable[Difference]) -> Iterator[str]:
    """Yields the lines for the differences. A comment states what an entry cannot state."""
    for each in found:
        is_new = each.kind == OPTION and each.coder and not each.member
        yield f"\n{'[[option]]' if is_new else f'# {each}'}"
        entry = entry_of(each.coder) if is_new else _changed(each)
        # JSON strings, numbers, booleans and lists are also TOML.
        for name, value in entry.items():
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"


def entry_of(coder: Json) -> Entry:
    """Returns the entry of an option of Coder, without members that follow from the others.

    The description is empty. A group that the catalogue does not have gets its YAML key as its key.
    """
    path = group_path(coder.get("group"))
    names = [each["name"] for each in coder.get("use_instead") or ()]
    entry = {
        "name": coder["name"],
        "env": coder.get("env", ""),
        **({} if names else {"description": ""}),
        **_type_of(coder),
        "flag_shorthand": coder.get("flag_shorthand", ""),
        "default": coder.get("default", ""),
        "group": _KEYS.get(tuple(path), coder["group"].get("yaml", "") if path else ""),
        "hidden": coder.get("hidden", False),
        **_marks(coder.get("annotations") or {}),
        "use_instead": names,
    }
    entry = {name: value for name, value in entry.items() if value or name == "description"}
    # The YAML key follows from the flag.
    for member in ("flag", "yaml"):
        if not _follows(member, coder.get(member, ""), entry):
            entry[member] = coder.get(member, "")
    return entry | {"documented": False}


def _follows(member: str, text: str, entry: Entry) -> bool:
    """Returns whether the member has this text if the entry does not state it."""
    is_known = entry.get("group", "") in {"", *GROUP_BY_KEY}
    return is_known and getattr(parse_option({"description": ""} | entry), member) == text


def _type_of(coder: Json) -> Entry:
    """Returns the type. Coder's responses do not name it: URLs and addresses look like strings."""
    value = coder.get("value")
    if isinstance(value, dict) and "Choices" in value:
        return {"type": "enum", "choices": value["Choices"]}
    if "format_duration" in (coder.get("annotations") or {}):
        return {"type": "duration"}
    return {"type": _TYPES.get(type(value), "string")}


def _marks(annotations: Json) -> Entry:
    return {mark: mark in annotations for mark in _MARKS}


def _changed(difference: Difference) -> Entry:
    """Returns the changed members of an option, in the form of an entry of the catalogue."""
    value = difference.coder
    match difference.member:
        case "annotations":
            theirs, ours = _marks(value), _marks(difference.catalogue)
            return {mark: theirs[mark] for mark in _MARKS if theirs[mark] != ours[mark]}
        case "default" | "env" | "flag" | "flag_shorthand" | "hidden" | "use_instead" | "yaml":
            return {difference.member: value}
        case "group" if tuple(value) in _KEYS:
            return {"group": _KEYS[tuple(value)]}
    return {}
