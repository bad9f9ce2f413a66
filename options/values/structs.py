"""Values with an inner shape: maps, lists of links, external sign-in providers.

YAML or JSON in every source.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from options.values.base import ValueRefusedError, ValueType
from options.values.yaml_text import Place, flow_text, is_null, place_of, read_document

# The truth values of YAML 1.1, as Coder's reader accepts them inside a struct.
_YES = frozenset({"true", "yes", "on", "y"})
_NO = frozenset({"false", "no", "off", "n"})


class Struct[T](ValueType[T | None]):
    """A value that is `None` while nothing is set. Unknown inner keys are ignored."""

    @property
    def zero(self) -> T | None:
        return None

    def parse(self, text: str) -> T | None:
        document = read_document(text)
        if document.problems:
            raise ValueRefusedError(document.problems[0].text, shown=None)
        return None if document.root is None else self.read(document.root)

    def read(self, node: Node) -> T | None:
        if is_null(node):
            return None
        return self._decode(node)

    def merge(self, old: T | None, new: T | None) -> T | None:
        return old if new is None else new

    def format(self, value: T | None) -> str:
        return "null" if value is None else flow_text(value)

    def _decode(self, node: Node) -> T:
        raise NotImplementedError


class _Map[V](Struct[dict[str, V]]):
    combines = True

    def merge(self, old: dict[str, V] | None, new: dict[str, V] | None) -> dict[str, V] | None:
        return old if new is None else {**(old or {}), **new}

    def _decode(self, node: Node) -> dict[str, V]:
        return {key: self._item(value, path=key) for key, value in _pairs(node)}

    def _item(self, node: Node, *, path: str) -> V:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class TextMap(_Map[str]):
    name = "struct[map[string]string]"
    accepted = 'a map from text to text, such as {"key": "value"}'

    def _item(self, node: Node, *, path: str) -> str:
        return _text(node, path=path)


@dataclass(frozen=True, slots=True)
class TextListMap(_Map[list[str] | None]):
    name = "struct[map[string][]string]"
    accepted = 'a map from text to lists, such as {"key": ["one", "two"]}'

    def _item(self, node: Node, *, path: str) -> list[str] | None:
        return _texts(node, path=path)


@dataclass(frozen=True, slots=True)
class UUIDListMap(_Map[list[str] | None]):
    """Organization ids by name, each in the lower-case form with hyphens."""

    name = "struct[map[string][]uuid.UUID]"
    accepted = 'a map from text to lists of UUIDs, such as {"key": ["<uuid>"]}'

    def _item(self, node: Node, *, path: str) -> list[str] | None:
        ids = _texts(node, path=path)
        return (
            None if ids is None else [_uuid(item, path=path, place=place_of(node)) for item in ids]
        )


@dataclass(frozen=True, slots=True)
class Field:
    """An inner key: the reader of its YAML node, and its value while absent."""

    read: Callable[..., Any]
    absent: Any = ""


@dataclass(frozen=True, slots=True)
class _Records(Struct[list[dict[str, Any]]]):
    def _decode(self, node: Node) -> list[dict[str, Any]]:
        if not isinstance(node, SequenceNode):
            raise ValueRefusedError("is not a list", shown=None, place=place_of(node))
        items = [
            _record(item, fields=self.fields(), path=f"[{position}]")
            for position, item in enumerate(node.value)
        ]
        return items or None  # type: ignore[return-value]  # An empty list is an unset one.

    def fields(self) -> Mapping[str, Field]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Links(_Records):
    name = "struct[[]codersdk.LinkConfig]"
    accepted = "a list of links, each with name, target, icon and location"

    def fields(self) -> Mapping[str, Field]:
        return LINK_FIELDS


@dataclass(frozen=True, slots=True)
class ExternalAuth(_Records):
    name = "struct[[]codersdk.ExternalAuthConfig]"
    accepted = "a list of providers, each with type, client_id and further settings"

    def fields(self) -> Mapping[str, Field]:
        return EXTERNAL_AUTH_FIELDS


def _record(node: Node, *, fields: Mapping[str, Field], path: str) -> dict[str, Any]:
    given = {key: value for key, value in _pairs(node, path=path) if key in fields}
    return {
        key: field.read(given[key], path=f"{path}.{key}") if key in given else field.absent
        for key, field in fields.items()
    }


def _pairs(node: Node, *, path: str = "") -> list[tuple[str, Node]]:
    if not isinstance(node, MappingNode):
        raise ValueRefusedError(f"is not a map{_within(path)}", shown=None, place=place_of(node))
    return [(key.value, value) for key, value in node.value]


def _within(path: str) -> str:
    return f" (in {path})" if path else ""


def _text(node: Node, *, path: str) -> str:
    if not isinstance(node, ScalarNode):
        raise ValueRefusedError(f"is not one text{_within(path)}", shown=None, place=place_of(node))
    return "" if is_null(node) else str(node.value)


def _texts(node: Node, *, path: str) -> list[str] | None:
    if is_null(node):
        return None
    if not isinstance(node, SequenceNode):
        raise ValueRefusedError(f"is not a list{_within(path)}", shown=None, place=place_of(node))
    return [_text(item, path=path) for item in node.value]


def _truth(node: Node, *, path: str) -> bool:
    word = _text(node, path=path).lower()
    if word in _YES:
        return True
    if word in _NO or not word:
        return False
    problem = f"is not a truth value{_within(path)}"
    raise ValueRefusedError(problem, shown=word, place=place_of(node))


def _uuid(text: str, *, path: str, place: Place) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueRefusedError(f"is not a UUID{_within(path)}", shown=text, place=place) from None


LINK_FIELDS: Mapping[str, Field] = {
    key: Field(_text) for key in ("name", "target", "icon", "location")
}

EXTERNAL_AUTH_FIELDS: Mapping[str, Field] = {
    "type": Field(_text),
    "client_id": Field(_text),
    "client_secret": Field(_text),
    "id": Field(_text),
    "auth_url": Field(_text),
    "token_url": Field(_text),
    "validate_url": Field(_text),
    "revoke_url": Field(_text),
    "app_install_url": Field(_text),
    "app_installations_url": Field(_text),
    "no_refresh": Field(_truth, absent=False),
    "scopes": Field(_texts, absent=None),
    "extra_token_keys": Field(_texts, absent=None),
    "device_flow": Field(_truth, absent=False),
    "device_code_url": Field(_text),
    "mcp_url": Field(_text),
    "mcp_tool_allow_regex": Field(_text),
    "mcp_tool_deny_regex": Field(_text),
    "regex": Field(_text),
    "display_name": Field(_text),
    "display_icon": Field(_text),
    "code_challenge_methods_supported": Field(_texts, absent=None),
}
EXTERNAL_AUTH_SECRET = "client_secret"  # noqa: S105  # The name of a key.
