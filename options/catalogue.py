"""Reads the two catalogues of options: Coder's options, and coderapi's own settings.

`catalogue.toml` has Coder's options in Coder's order, because clients show them in this order.
`own.toml` has the settings that only coderapi has. Only environment variables can set these, and
the responses of Coder's API do not contain them.

An entry has the members of `Option`. `type` is the name of a type in `TYPES`, and `group` is a key
of `groups`. An entry without `type` is an old name of the option in `use_instead`: it takes all
members from this option, except those that it has itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from options.option import FOLLOWS, Group, Option
from options.values import structs
from options.values.addresses import Address
from options.values.base import ValueType
from options.values.lists import TextList
from options.values.rules import RULES, Rule, one_of
from options.values.scalars import Bool, Choice, Duration, Integer, Regexp, Size, Text
from options.values.urls import URL

type Entry = dict[str, Any]


def _rule(*, choices: tuple[str, ...] = (), rule: str = "") -> Rule | None:
    return one_of(*choices) if choices else RULES[rule] if rule else None


# The values of `type`: Coder's names of the types, and `size`. Some types take further members of
# the entry.
TYPES: Mapping[str, Callable[..., ValueType[Any]]] = {
    "bool": Bool,
    "duration": Duration,
    "enum": Choice,
    "host:port": Address,
    "int": Integer,
    "regexp": Regexp,
    "size": Size,
    "string": lambda **more: Text(_rule(**more)),
    "string-array": lambda **more: TextList(_rule(**more)),
    "url": URL,
    **{
        each.name: each
        for each in (
            structs.AIProviders,
            structs.ExternalAuth,
            structs.Links,
            structs.TextListMap,
            structs.TextMap,
        )
    },
}
_OF_TYPES = frozenset({"choices", "maximum", "minimum", "rule", "schemes", "signed"})


def _read(name: str) -> Entry:
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _groups(entries: Mapping[str, Entry]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for key, entry in entries.items():
        above = groups[entry["parent"]] if "parent" in entry else None
        groups[key] = Group(**entry | {"parent": above})
    return groups


def _members(entry: Entry, groups: Mapping[str, Group]) -> Entry:
    """Returns the members of an entry as arguments for `Option`, without those of its type."""
    members = {name: value for name, value in entry.items() if name not in _OF_TYPES}
    if "group" in entry:
        members["group"] = groups[entry["group"]]
    if names := tuple(entry.get("use_instead", ())):
        members = {"description": f"The old name of {names[0]}."} | members
        members["use_instead"] = names
    return members


def _option(entry: Entry, groups: Mapping[str, Group], **more: Any) -> Option:
    of_type = {name: entry[name] for name in _OF_TYPES & entry.keys()}
    lists = {name: tuple(value) for name, value in of_type.items() if isinstance(value, list)}
    value_type = TYPES[entry["type"]](**of_type | lists)
    return Option(**_members(entry, groups) | {"type": value_type, **more})


def _coders(entries: list[Entry], groups: Mapping[str, Group]) -> Iterator[Option]:
    current = {e["name"]: _option(e, groups) for e in entries if "type" in e}
    for entry in entries:
        if "type" in entry:
            yield current[entry["name"]]
        else:
            members: Entry = {"flag": FOLLOWS, "flag_shorthand": ""} | _members(entry, groups)
            yield replace(current[members["use_instead"][0]], **members)


def parse_option(entry: Entry) -> Option:
    """Returns the option of an entry with a type."""
    return _option(entry, GROUP_BY_KEY)


_coder = _read("catalogue.toml")
GROUP_BY_KEY = _groups(_coder["groups"])
GROUPS = tuple(GROUP_BY_KEY.values())
CATALOGUE = tuple(_coders(_coder["option"], GROUP_BY_KEY))
# Maps keys of YAML files for older releases to the current keys.
OLD_YAML_KEYS: dict[str, str] = _coder["old_yaml_keys"]
# Numbered variables, such as CODER_AI_GATEWAY_PROVIDER_0_TYPE, set this value. It is not an option,
# so the list of options does not contain it.
AI_PROVIDERS = parse_option(_coder["ai_providers"])
OWN_OPTIONS = tuple(
    _option(each, {}, name=each["env"], flag="", json_path=each["env"], obeyed=True, own=True)
    for each in _read("own.toml")["option"]
)
