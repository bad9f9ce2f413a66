"""One option as a source names it, and all that a source holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from yaml import Node, ScalarNode

from options.errors import OptionError, masked, presentable
from options.option import Option, ValueSource
from options.values import ValueRefusedError


@dataclass(frozen=True, slots=True)
class Setting:
    """One option named once in one source, with its value as it was written there."""

    option: Option
    source: ValueSource
    place: str
    raw: str | Node = field(repr=False)

    def value(self) -> object:
        """Raises: ValueRefusedError."""
        if not isinstance(self.raw, str):
            return self.option.type.read(self.raw)
        if not self.raw.isprintable():
            _refuse_undecodable(self.raw)
        return self.option.type.parse(self.raw)

    def error(self, refusal: ValueRefusedError) -> OptionError:
        place = self.place
        if refusal.place and self.source is ValueSource.YAML:
            place = f"{self.place.rsplit(':', 2)[0]}:{refusal.place}"
        return OptionError(
            masked(refusal.problem),
            place,
            option=self.option.name,
            source=self.source,
            shown=self._shown(refusal),
            accepted=self.option.type.accepted,
        )

    def _shown(self, refusal: ValueRefusedError) -> str:
        if self.option.secret or refusal.shown is None:
            return ""
        if refusal.shown:
            return presentable(refusal.shown)
        text = self.raw.value if isinstance(self.raw, ScalarNode) else self.raw
        return presentable(text) if isinstance(text, str) else ""


@dataclass(slots=True)
class Gathered:
    """All that a source holds."""

    settings: list[Setting] = field(default_factory=list)
    errors: list[OptionError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _refuse_undecodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueRefusedError("is not UTF-8") from None
