"""Writes the configuration as a commented YAML file. Loading the file gives the same values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from options.catalogue import GROUPS
from options.configuration import Configuration
from options.option import Option, ValueSource
from options.redaction import without_secrets
from options.reference import wrapped
from options.rendering import put
from options.values.lists import TextList
from options.values.scalars import Bool, Duration, Integer
from options.values.structs import Struct
from options.values.yaml_text import flow_text, scalar

_WIDTH = 88
_INDENT = "  "
_REDACTED = "This option is commented out, because a secret was removed. Add the secret to use it."
_WRITTEN_BARE = (Bool, Integer, Duration)
_DESCRIPTIONS = {group.yaml_path: group.description for group in GROUPS}

type _Tree = dict[str, _Tree | Option]


def yaml_document(configuration: Configuration) -> str:
    """Returns the content of the file, with every option that YAML can set.

    Each option has its newest name. An option is commented out if it has neither a value nor a
    default, if it is deprecated and not set, or if its value contains a secret such as a password
    in a URL.
    """
    tree: _Tree = {}
    for option in configuration.options:
        paths = {configuration.option(name).json_path for name in option.use_instead}
        # An option with the path of the option that replaces it is only an old name.
        if option.yaml and option.json_path not in paths:
            put(tree, option.yaml_path, option)
    return "\n".join(_lines(tree, configuration, above="")).rstrip() + "\n"


def _lines(tree: _Tree, configuration: Configuration, *, above: str) -> Iterator[str]:
    indent = _INDENT * above.count(".")
    for key, item in tree.items():
        if isinstance(item, Option):
            yield from _option_lines(key, item, configuration, indent=indent)
            continue
        path = f"{above}{key}"
        yield from _comment(_DESCRIPTIONS[path], indent=indent)
        yield f"{indent}{key}:"
        yield from _lines(item, configuration, above=f"{path}.")


def _option_lines(
    key: str, option: Option, configuration: Configuration, *, indent: str
) -> Iterator[str]:
    value = configuration[option.json_path]
    shown = without_secrets(value)
    facts = f"(default: {option.default or '<unset>'}, type: {option.type.name})"
    yield from _comment(f"{option.description} {facts}", indent=indent)
    is_redacted = shown != value
    if is_redacted:
        yield from _comment(_REDACTED, indent=indent)
    mark = "# " if is_redacted or _is_superfluous(option, configuration) else ""
    yield f"{indent}{mark}{key}: {_text(option, shown)}".rstrip()


def _is_superfluous(option: Option, configuration: Configuration) -> bool:
    """Returns whether loading the file without this option gives the same value."""
    source = configuration.sources[option.json_path]
    if source is ValueSource.UNSET:
        return bool(configuration[option.json_path] == option.type.zero)
    return source is ValueSource.DEFAULT and (option.deprecated or bool(option.use_instead))


def _comment(text: str, *, indent: str) -> list[str]:
    return wrapped(text, indent=f"{indent}# ", width=_WIDTH)


def _text(option: Option, value: Any) -> str:
    if isinstance(option.type, Struct):
        return flow_text(value)
    if isinstance(option.type, TextList):
        return flow_text(value or [])
    text = option.type.format(value)
    return text if isinstance(option.type, _WRITTEN_BARE) else scalar(text)
