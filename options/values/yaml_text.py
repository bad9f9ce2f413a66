"""Parses YAML into PyYAML's nodes, which have positions, and writes values on one line.

Scalars are not converted: the value of a scalar node is the string in the file. Unsupported syntax
and mistakes, such as duplicate keys, are reported with their positions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH = 50

# PyYAML rejects the same characters, but its error lacks the line and column.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNTAGGED = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq")
)

# Strings that need no quotes: a YAML parser never reads them as a number, boolean, null or date.
# The exceptions are in _WORDS.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


# A mistake in the input, and its position: line:column, both counted from 1.
type Problem = tuple[str, str]


def read_document(text: str) -> tuple[Node | None, list[Problem]]:
    """Parses YAML. Without problems, the node is None only if the input is empty."""
    if unprintable := _UNPRINTABLE.search(text):
        before = text[: unprintable.start()]
        place = f"{before.count('\n') + 1}:{len(before) - before.rfind('\n')}"
        return None, [(f"the character {unprintable[0]!r} is not allowed", place)]
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = (error.problem or error.context or "").removeprefix("but ")
        return None, [(f"not valid YAML: {reason}", _place(mark) if mark else "1:1")]
    return root, list(_problems(root, depth=1, seen=set())) if root else []


def place_of(node: Node) -> str:
    return _place(node.start_mark)


def _place(mark: yaml.Mark) -> str:
    return f"{mark.line + 1}:{mark.column + 1}"


def is_blank(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.style and not node.value


def is_null(node: Node) -> bool:
    """Returns whether the node means null: an unquoted null or ~, or an empty value."""
    return (
        isinstance(node, ScalarNode)
        and not node.style
        and node.value in {"", "~", "null", "Null", "NULL"}
    )


def _problems(node: Node, *, depth: int, seen: set[int]) -> Iterator[Problem]:
    """Yields the problems of this node and its descendants."""
    if id(node) in seen:
        text = "aliases are not supported; repeat the value instead of referring to its anchor"
        yield text, place_of(node)
        return
    seen.add(id(node))
    if depth > MAX_DEPTH and not isinstance(node, ScalarNode):
        yield f"the value is nested deeper than {MAX_DEPTH} levels", place_of(node)
        return
    if node.tag not in _UNTAGGED:
        yield "type tags are not supported; remove the tag", place_of(node)
    if isinstance(node, ScalarNode) and "\0" in node.value:
        yield "a NUL character cannot be part of a value", place_of(node)
    children = node.value if isinstance(node, SequenceNode) else ()
    if isinstance(node, MappingNode):
        yield from _key_problems(node)
        children = chain.from_iterable(node.value)
    for child in children:
        yield from _problems(child, depth=depth + 1, seen=seen)


def _key_problems(node: MappingNode) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            yield "a key must be a string", place_of(key)
        elif key.value in first:
            text = f"duplicate key {key.value!r}; it is already set on line {first[key.value]}"
            yield text, place_of(key)
        else:
            first[key.value] = key.start_mark.line + 1


def flow_text(value: object) -> str:
    """Returns the value as JSON with unprintable characters escaped. JSON is also valid YAML."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else f"\\U{ord(character):08X}" for character in text
    )


def scalar(text: str) -> str:
    """Returns the string as a YAML scalar. Adds quotes only if YAML needs them."""
    if not text or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS):
        return text
    return flow_text(text)
