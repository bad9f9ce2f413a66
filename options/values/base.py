"""The base of all value types, and the error with which they refuse."""

from __future__ import annotations

from abc import ABC, abstractmethod

from yaml import MappingNode, Node, ScalarNode

from options.values.yaml_text import Place, place_of


class ValueRefusedError(Exception):
    """A value that its type does not accept.

    `shown` is the offending part where that is less than the whole text, `None` where nothing may
    be shown; `place` is the position in a YAML text.
    """

    def __init__(self, problem: str, *, shown: str | None = "", place: Place | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.shown = shown
        self.place = place


class ValueType[T](ABC):
    """One kind of option value: reads, merges and prints it.

    `name` is the type's name in help and documents, `accepted` what an operator may write, `zero`
    the value while nothing is set. Types that `combine` add up what several sources say; of the
    others the strongest source counts.
    """

    name: str
    accepted: str
    zero: T
    combines: bool = False

    @abstractmethod
    def parse(self, text: str) -> T:
        """Returns the value of a text from the environment, a flag or a default.

        Raises: ValueRefusedError.
        """

    def read(self, node: Node) -> T:
        """Returns the value of a YAML node.

        Raises: ValueRefusedError.
        """
        return self.parse(scalar_text(node))

    def merge(self, old: T, new: T) -> T:
        del old
        return new

    def format(self, value: T) -> str:
        """Returns the text that `parse` reads as this value."""
        return str(value)


def scalar_text(node: Node) -> str:
    """Returns the text of one value. Raises: ValueRefusedError for a mapping or a list."""
    if isinstance(node, ScalarNode):
        return str(node.value)
    kind = "a mapping" if isinstance(node, MappingNode) else "a list"
    raise ValueRefusedError(
        f"{kind} stands where one value is expected", shown=None, place=place_of(node)
    )
