from __future__ import annotations

from abc import ABC, abstractmethod

from options.values.nodes import Mapping, Node, Place, Scalar


class ValueRefusedError(Exception):
    """A value that its type does not accept.

    `shown` is the offending part where that is less than the whole text, `None` where nothing may
    be shown; `place` is where in a YAML text it stands.
    """

    def __init__(self, problem: str, *, shown: str | None = "", place: Place | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.shown = shown
        self.place = place


class ValueType[T](ABC):
    """How one kind of option value is read, combined and printed.

    `name` is the type's name in help and documents, `accepted` what an operator may write, `zero`
    the value while nothing is set. Types that `combine` add up what several sources say; of the
    others the strongest source counts.
    """

    name: str
    accepted: str
    combines: bool = False

    @property
    @abstractmethod
    def zero(self) -> T: ...

    @abstractmethod
    def parse(self, text: str) -> T:
        """The value of a text from the environment, a flag or a default.

        Raises: ValueRefusedError.
        """

    def read(self, node: Node) -> T:
        """The value of a YAML node.

        Raises: ValueRefusedError.
        """
        return self.parse(scalar_text(node))

    def merge(self, old: T, new: T) -> T:
        del old
        return new

    @abstractmethod
    def format(self, value: T) -> str:
        """The text that `parse` reads as this value."""


def scalar_text(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.text
    kind = "a mapping" if isinstance(node, Mapping) else "a list"
    raise ValueRefusedError(
        f"{kind} stands where one value is expected", shown=None, place=node.place
    )
