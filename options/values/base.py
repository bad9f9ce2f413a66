"""The base class of value types, and their error."""

from __future__ import annotations

from abc import ABC, abstractmethod

from yaml import MappingNode, Node, ScalarNode

from options.values.yaml_text import Place, place_of


class ValueRefusedError(Exception):
    """A value that its type rejects.

    `shown` is the wrong part, "" for the whole text, or None to show nothing. `place` is the
    position in a YAML text.
    """

    def __init__(self, problem: str, *, shown: str | None = "", place: Place | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.shown = shown
        self.place = place


class ValueType[T](ABC):
    """One type of option value: parses, merges and formats it.

    `name` is the type's name in help and documents. `accepted` describes valid texts. `zero` is the
    value of an option that is not set. Types with `combines` merge the values of several sources.
    For the others, the strongest source wins.
    """

    name: str
    accepted: str
    zero: T
    combines: bool = False

    @abstractmethod
    def parse(self, text: str) -> T:
        """Parses a text of the environment, a flag or a default. Raises: ValueRefusedError."""

    def read(self, node: Node) -> T:
        """Parses a YAML node. Raises: ValueRefusedError."""
        return self.parse(scalar_text(node))

    def merge(self, old: T, new: T) -> T:
        del old
        return new

    def format(self, value: T) -> str:
        """Returns a text that `parse` turns into this value."""
        return str(value)


def scalar_text(node: Node) -> str:
    """Returns the text of one value. Raises: ValueRefusedError for a mapping or a list."""
    if isinstance(node, ScalarNode):
        return str(node.value)
    kind = "a mapping" if isinstance(node, MappingNode) else "a list"
    raise ValueRefusedError(
        f"is {kind}, but one value is expected", shown=None, place=place_of(node)
    )
