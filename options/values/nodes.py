"""YAML text as plain nodes that know their line and column.

PyYAML's own composer resolves aliases silently and lets a later duplicate key win. Built from its
events instead, a document keeps every scalar as it was typed, and whatever an operator should not
use is named with its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import yaml

MAX_DEPTH = 50

# PyYAML's reader refuses the same characters, but says where only as an offset.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a text; both numbers count from one."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Scalar:
    text: str
    plain: bool
    place: Place

    @property
    def is_blank(self) -> bool:
        return self.plain and not self.text

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in {"", "~", "null", "Null", "NULL"}


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    pairs: tuple[tuple[Scalar, Node], ...]
    place: Place


type Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Problem:
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Document:
    """What a text holds; `root` is None when it is empty or beyond reading."""

    root: Node | None
    problems: tuple[Problem, ...]


def read_document(text: str) -> Document:
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        place = _place_of(text, offset=unprintable.start())
        return Document(None, (Problem(f"the character {unprintable[0]!r} is not text", place),))
    composer = _Composer(text)
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as error:
        return Document(None, (*composer.problems, _syntax_problem(error)))
    except _TooDeepError as error:
        return Document(None, (Problem(f"nested deeper than {MAX_DEPTH} levels", error.place),))
    return Document(root, tuple(composer.problems))


def _place_of(text: str, *, offset: int) -> Place:
    before = text[:offset]
    return Place(before.count("\n") + 1, offset - before.rfind("\n"))


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    return Problem(f"not valid YAML: {error.problem or error.context}", _marked(mark))


class _TooDeepError(Exception):
    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class _Composer:
    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent) and root:
                self._problem("a second document begins, and only one is read", event)
                return root
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, depth=1)
        return root

    def _node(self, event: yaml.NodeEvent, *, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _TooDeepError(_place(event))
        self._refuse_references(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth=depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth=depth)
        if isinstance(event, yaml.ScalarEvent):
            if "\0" in event.value:
                self._problem("a NUL character cannot be part of a value", event)
            return Scalar(event.value, plain=not event.style, place=_place(event))
        return Scalar("", plain=True, place=_place(event))

    def _sequence(self, event: yaml.SequenceStartEvent, *, depth: int) -> Sequence:
        items = tuple(self._node(item, depth=depth + 1) for item in self._until_end())
        return Sequence(items, _place(event))

    def _mapping(self, event: yaml.MappingStartEvent, *, depth: int) -> Mapping:
        pairs: dict[str, tuple[Scalar, Node]] = {}
        children = self._until_end()
        for key_event in children:
            key = self._node(key_event, depth=depth + 1)
            value = self._node(next(children), depth=depth + 1)
            if not isinstance(key, Scalar):
                self._problem("a key must be plain text", key_event)
            elif key.text in pairs:
                first = pairs[key.text][0].place
                self._problem(
                    f"the key {key.text!r} stands here again, after line {first.line}", key_event
                )
            else:
                pairs[key.text] = (key, value)
        return Mapping(tuple(pairs.values()), _place(event))

    def _until_end(self) -> Iterator[yaml.NodeEvent]:
        for event in self._events:
            if not isinstance(event, yaml.NodeEvent):
                return
            yield event

    def _refuse_references(self, event: yaml.NodeEvent) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._problem(f"the alias *{event.anchor} is not supported; write the value out", event)
        elif event.anchor is not None:
            self._problem(f"the anchor &{event.anchor} is not supported", event)
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            self._problem("type tags are not supported; write the value plainly", event)

    def _problem(self, text: str, event: yaml.Event) -> None:
        self.problems.append(Problem(text, _place(event)))


def _place(event: yaml.Event) -> Place:
    return _marked(event.start_mark)


class _Mark(Protocol):
    line: int
    column: int


def _marked(mark: _Mark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
