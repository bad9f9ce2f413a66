"""The settings of a source, and reading of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaml import Node, ScalarNode

from options.errors import OptionError, masked, presentable
from options.option import Option, ValueSource
from options.values import ValueRefusedError

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Setting:
    """One option's value from one place of a source."""

    option: Option
    source: ValueSource
    place: str
    value: Any = field(repr=False)


@dataclass(slots=True)
class Gathered:
    """The settings, errors and warnings of a source, in its order."""

    source: ValueSource
    settings: list[Setting] = field(default_factory=list)
    errors: list[OptionError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, option: Option, place: str, raw: str | Node) -> None:
        """Parses the value, and adds a setting or an error."""
        try:
            value = _read(option, raw)
        except ValueRefusedError as refusal:
            if refusal.place and self.source is ValueSource.YAML:
                place = f"{place.rsplit(':', 2)[0]}:{refusal.place}"
            self.refuse(
                place,
                masked(refusal.problem),
                option=option.name,
                shown="" if option.secret else _shown(refusal, raw),
                accepted=option.type.accepted,
            )
        else:
            self.settings.append(Setting(option, self.source, place, value))

    def refuse(
        self,
        place: str,
        problem: str,
        *,
        option: str = "",
        shown: str = "",
        accepted: str = "",
        nearest: str = "",
    ) -> None:
        self.errors.append(
            OptionError(problem, place, option, self.source, shown, accepted, nearest)
        )


def read_text(path: str) -> str:
    """Returns the text of a file. Raises: ValueError, which never quotes the content."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise ValueError("is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8 text (line {line})") from None


def read_secret(path: str) -> str:
    """Returns the content of a file without its last line break.

    Raises: ValueError, which names the file and never quotes its content.
    """
    try:
        text = read_text(path).removesuffix("\n").removesuffix("\r")
    except ValueError as error:
        raise ValueError(f"the file {path} {error}") from None
    if not text:
        raise ValueError(f"the file {path} is empty")
    return text


def _read(option: Option, raw: str | Node) -> Any:
    if not isinstance(raw, str):
        return option.type.read(raw)
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueRefusedError("is not UTF-8") from None
    return option.type.parse(raw)


def _shown(refusal: ValueRefusedError, raw: str | Node) -> str:
    """Returns the invalid part of the value, or all of it, or "" if the value is not one text."""
    if refusal.shown is None:
        return ""
    text = refusal.shown or (raw.value if isinstance(raw, ScalarNode) else raw)
    return presentable(text) if isinstance(text, str) else ""
