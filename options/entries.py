"""Writes the differences to a running Coder as lines to paste into `catalogue.toml`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from options.catalogue import GROUP_BY_KEY, Entry, parse_option
from options.comparison import OPTION, Difference, Json, group_path

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
    """Returns the members of a changed option that its entry has."""
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
