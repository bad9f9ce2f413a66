"""Converts the configuration of Coder, which is in the coderd format. All functions are pure.

The release of Coder may differ from the release whose options the catalogue has. Options that only
Coder has are passed on unchanged. Options that only the catalogue has are left out. The documented
format has no value of a known option that the API reference does not contain.
"""

from __future__ import annotations

import copy
from typing import Any

from options.catalogue import AI_PROVIDERS, CATALOGUE
from options.option import Option
from options.option_formats import CONFIG_FORMATS
from options.redaction import ConfigSnapshot, without_secrets
from options.values.scalars import Choice
from options.values.yaml_text import flow_text

CODERD, DOCUMENTED = CONFIG_FORMATS["coderd"], CONFIG_FORMATS["documented"]
NOT_SET = frozenset({"", "default"})
# The errors of a conversion if Coder's value does not have the type of the catalogue.
OTHER_TYPE = (AttributeError, TypeError, ValueError)
# The documented format has all members. The coderd format omits empty members.
_EMPTY_OPTION = {
    **dict.fromkeys(("name", "description", "flag", "flag_shorthand", "env", "yaml"), ""),
    "default": "",
    "required": False,
    "annotations": {},
    "hidden": False,
}
_EMPTY_GROUP = {"name": "", "yaml": "", "description": ""}

_BY_NAME = {option.name: option for option in CATALOGUE}
# Options with the same path also have the same type, and are all secret or none.
_BY_PATH = {option.json_path: option for option in (*CATALOGUE, AI_PROVIDERS)}

type Json = dict[str, Any]


def stripped(answer: Json) -> Json:
    """Returns Coder's configuration without secrets.

    Coder shows the value of a secret if another option names the secret under `use_instead`.
    Raises: TypeError, KeyError or AttributeError if it is not a configuration.
    """
    config = without_secrets(answer["config"])
    for path, option in _BY_PATH.items():
        node, key = _place(config, path)
        if option.secret and key in node:
            node[key] = _zero(option)
    return {**answer, "config": config, "options": [_shown(each) for each in answer["options"]]}


def _zero(option: Option) -> Any:
    return CODERD.encode(option.type, option.type.zero)


def _shown(option: Json, *, in_secret: bool = False) -> Json:
    is_secret = in_secret or _is_secret(option)
    shown = {
        key: without_secrets(member)
        for key, member in option.items()
        if not (is_secret and key == "value")
    }
    if option.get("use_instead"):
        shown["use_instead"] = [_shown(e, in_secret=is_secret) for e in option["use_instead"]]
    return shown


def _is_secret(option: Json) -> bool:
    """Returns whether the option or one that replaces it is secret. Then they share a value."""
    known = _BY_NAME.get(option["name"])
    is_marked = (option.get("annotations") or {}).get("secret") == "true"
    others = option.get("use_instead") or ()
    return is_marked or bool(known and known.secret) or any(map(_is_secret, others))


def documented(answer: Json) -> Json:
    """Converts Coder's configuration to the documented format."""
    sources = {option["name"]: option.get("value_source", "") for option in answer["options"]}
    listed = {_BY_NAME[name].json_path for name in sources if name in _BY_NAME}
    config = copy.deepcopy(answer["config"])
    for path, known in _BY_PATH.items():
        if not DOCUMENTED.has(known):
            _drop(config, path)
            continue
        node, key = _place(config, path, create=path in listed)
        if key in node or path in listed:
            value = node.pop(key, _zero(known))
            node[path.rpartition(".")[2]] = _converted(known, value)
    options = [_documented(option, sources) for option in answer["options"]]
    return {**answer, "config": config, "options": options}


def _place(config: Json, path: str, *, create: bool = False) -> tuple[Json, str]:
    """Returns the object that contains the value with this path, and its key in Coder's format.

    With `create`, adds missing objects. Otherwise, returns an unrelated object for a missing one.
    """
    *above, last = CODERD.paths.get(path, path).split(".")
    node = config
    for group in above:
        inner = node.setdefault(group, {}) if create else node.get(group)
        node = inner if isinstance(inner, dict) else {}
    return node, last


def _drop(config: Json, path: str) -> None:
    """Removes the value with this path, and the objects that are then empty."""
    while path:
        node, key = _place(config, path)
        node.pop(key, None)
        path = "" if node else path.rpartition(".")[0]


def _decoded(option: Option, value: Any) -> Any:
    if isinstance(option.type, Choice) and isinstance(value, dict):
        # The list of options also has the choices.
        value = value.get("Value", "")
    return CODERD.encodings[type(option.type)].decode(value)


def _converted(option: Option, value: Any) -> Any:
    try:
        return DOCUMENTED.encode(option.type, _decoded(option, value))
    except OTHER_TYPE:
        return value


def _documented(option: Json, sources: dict[str, str]) -> Json:
    """Converts an option. Below `use_instead`, Coder leaves the source of the value out."""
    known, value = _BY_NAME.get(option["name"]), option.get("value")
    if known and "value" in option:
        value = _converted(known, value)
    return {
        **_EMPTY_OPTION,
        "value_source": sources.get(option["name"], ""),
        **option,
        "value": value,
        "group": _documented_group(option.get("group")),
        "use_instead": [_documented(e, sources) for e in option.get("use_instead") or ()],
    }


def _documented_group(group: Json | None) -> Json | None:
    if not group:
        return None
    return {**_EMPTY_GROUP, **group, "parent": _documented_group(group.get("parent"))}


def snapshot(answer: Json) -> ConfigSnapshot:
    """Returns Coder's options without secrets for the history.

    Coder does not return secrets. So the member `secrets` contains the source of each secret that
    is set, instead of a digest.
    """
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for option in answer["options"]:
        known, source = _BY_NAME.get(option["name"]), option.get("value_source", "")
        path = known.json_path if known else option["name"]
        if "value" in option:
            values[path] = _text(known, option["value"])
        elif source not in NOT_SET:
            secrets[path] = source
        if source not in NOT_SET:
            sources[path] = source
    return ConfigSnapshot(values, sources, secrets)


def _text(known: Option | None, value: Any) -> str:
    try:
        return known.type.format(_decoded(known, value)) if known else flow_text(value)
    except OTHER_TYPE:
        return flow_text(value)
