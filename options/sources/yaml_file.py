"""Reads settings from the YAML file that the option Config Path names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from yaml import MappingNode, ScalarNode

from options.catalogue import CATALOGUE, GROUPS, OLD_YAML_KEYS
from options.errors import nearest_name
from options.option import Option, ValueSource
from options.sources.settings import Gathered, read_text
from options.values.yaml_text import is_blank, is_null, place_of, read_document


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


# Maps full YAML keys to options. The keys of groups map to None.
_KNOWN: dict[str, Option | None] = {
    **dict.fromkeys(group.yaml_path for group in GROUPS if group.yaml),
    **{option.yaml_path: option for option in CATALOGUE if option.yaml},
}
_KNOWN |= {old: _KNOWN[new] for old, new in OLD_YAML_KEYS.items()}
# Maps other names of options that a YAML file cannot set. If two options have one name, the first
# in the catalogue is the newer one.
_NOT_IN_YAML = {
    _folded(name): option
    for option in reversed(CATALOGUE)
    for name in (option.env.removeprefix("CODER_"), option.flag, option.json_path)
    if name and not option.yaml
}


def read_yaml_file(path: str) -> Gathered:
    """Returns the settings in the order of the file. Rejects a file larger than 1 MiB."""
    reader = _Reader(path)
    try:
        text = read_text(path)
    except ValueError as error:
        reader.gathered.refuse(path, f"the file {error}")
        return reader.gathered
    root, problems = read_document(text)
    for problem, place in problems:
        reader.refuse(problem, place)
    if problems:
        return reader.gathered
    if isinstance(root, MappingNode):
        reader.read_mapping(root, above="")
    else:
        place = place_of(root) if root else "1:1"
        reader.refuse("the file must contain a mapping of options", place)
    return reader.gathered


@dataclass(slots=True)
class _Reader:
    file: str
    gathered: Gathered = field(default_factory=lambda: Gathered(ValueSource.YAML))

    def read_mapping(self, mapping: MappingNode, *, above: str) -> None:
        for key, node in mapping.value:
            path = f"{above}.{key.value}" if above else str(key.value)
            option = _KNOWN.get(path)
            if option is not None and "." not in key.value:
                # An empty value is not visible in the file, so the position of the key is used.
                place = place_of(key if is_blank(node) else node)
                self.gathered.add(option, f"{self.file}:{place}", node)
            elif path not in _KNOWN or "." in key.value:
                self._refuse_unknown(path, key)
            elif isinstance(node, MappingNode):
                self.read_mapping(node, above=path)
            elif not is_null(node):
                problem = f"{path} is a group of options and cannot have a value"
                self.refuse(problem, place_of(node))

    def _refuse_unknown(self, path: str, key: ScalarNode) -> None:
        if path in _KNOWN:
            self.refuse(f"{path!r} must be written as nested keys", place_of(key))
            return
        if elsewhere := _NOT_IN_YAML.get(_folded(path)):
            variable = f"{elsewhere.env}_FILE" if elsewhere.secret else elsewhere.env
            ways = " or ".join(filter(None, (variable, f"--{elsewhere.flag}")))
            problem = f"{path!r} cannot be set in a YAML file; use {ways}"
            self.refuse(problem, place_of(key), option=elsewhere.name)
            return
        # The only option with this last key is meant, wherever the file has the key.
        namesakes = [each for each in _KNOWN if each.rpartition(".")[2] == key.value]
        nearest = namesakes[0] if len(namesakes) == 1 else nearest_name(path, _KNOWN)
        self.refuse(f"{path!r} is not an option", place_of(key), nearest=nearest)

    def refuse(self, problem: str, place: str, **more: Any) -> None:
        self.gathered.refuse(f"{self.file}:{place}", problem, **more)
