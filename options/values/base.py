"""The base class of value types, and the error that they raise for invalid values."""

from __future__ import annotations

from abc import ABC, abstractmethod

from yaml import MappingNode, Node, ScalarNode

from options.values.yaml_text import place_of


class ValueRefusedError(ValueError):
    """A value is invalid for the option's type.

    `shown` is the invalid part of the value. It is "" if the whole value is invalid, and None if
    the error must not show the value. `place` is the line and column in the YAML input, or "".
    """

    def __init__(self, problem: str, *, shown: str | None = "", place: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.shown = shown
        self.place = place


class ValueType[T](ABC):
    """The type of an option. Parses, merges and formats the option's values.

    `name` is the type's name in help and documents. `accepted` describes valid input. `zero` is the
    value of an option that is not set. `merge` combines the values from the environment and flags.
    By default, it returns the value with the highest precedence.
    """

    name: str
    accepted: str
    zero: T

    @abstractmethod
    def parse(self, text: str) -> T:
        """Parses a string from the environment, a flag or a default. Raises: ValueRefusedError."""

    def read(self, node: Node) -> T:
        """Parses a YAML node. Raises: ValueRefusedError."""
        return self.parse(scalar_text(node))

    def merge(self, old: T, new: T) -> T:
        del old
        return new

    def format(self, value: T) -> str:
        """Formats the value as a string. `parse` returns the same value for this string."""
        return str(value)


def scalar_text(node: Node) -> str:
    """Returns the content of a scalar. Raises: ValueRefusedError for a mapping or a list."""
    if isinstance(node, ScalarNode):
        return str(node.value)
    kind = "a mapping" if isinstance(node, MappingNode) else "a list"
    raise ValueRefusedError(
        f"is {kind}, but one value is expected", shown=None, place=place_of(node)
    )
