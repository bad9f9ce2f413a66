"""The settings that a source returns, and functions that read files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yaml import Node, ScalarNode

from options.catalogue import CATALOGUE
from options.errors import OptionError, masked, presentable
from options.option import Option, ValueSource
from options.values.base import ValueRefusedError

_MAX_BYTES = 1 << 20
_BY_NAME = {option.name: option for option in CATALOGUE}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value for an option, with the source and the place where it was set."""

    option: Option
    source: ValueSource
    place: str
    value: Any = field(repr=False)


@dataclass(slots=True)
class Gathered:
    """The settings, errors and warnings of a source, in the order of the source."""

    source: ValueSource
    settings: list[Setting] = field(default_factory=list)
    errors: list[OptionError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, option: Option, place: str, raw: str | Node) -> None:
        """Parses the value. Adds a setting if the value is valid, otherwise an error."""
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
            return
        self._refuse_contradiction(option, place, value)
        self.settings.append(Setting(option, self.source, place, value))

    def _refuse_contradiction(self, option: Option, place: str, value: Any) -> None:
        """Adds an error if the source sets the old and the new name of an option differently.

        For options that coderapi only reports, the new name overrides the old one, as in Coder.
        """
        for other in self.settings if option.obeyed else ():
            if (
                other.option.json_path == option.json_path
                and other.option is not option
                and other.value != value
            ):
                problem = f"differs from {other.place}, which sets the same value"
                self.refuse(place, problem, option=option.name)

    def warnings_about_names(self, winners: Mapping[str, Setting]) -> Iterator[str]:
        """Yields a warning for each deprecated name, and for each name that has no effect.

        `winners` has the setting that applies for each JSON path.
        """
        for option in dict.fromkeys(setting.option for setting in self.settings):
            name, winner = spelling(option, self.source), winners[option.json_path]
            if winner.option is not option:
                other = spelling(winner.option, winner.source)
                deprecated = "deprecated and " if option.use_instead else ""
                yield f"{name} is {deprecated}ignored, because {other} sets the same value"
            elif option.use_instead:
                new = (spelling(_BY_NAME[each], self.source) for each in option.use_instead)
                yield f"{name} is deprecated; use {' and '.join(new)} instead"
            elif option.deprecated:
                yield f"{name} is deprecated and ignored"

    def refuse(self, place: str, problem: str, **more: Any) -> None:
        """Adds an error. `more` has other fields of `OptionError`."""
        self.errors.append(OptionError(problem, place, source=self.source, **more))


def spelling(option: Option, source: ValueSource) -> str:
    if source is ValueSource.FLAG:
        return f"--{option.flag}"
    if source is ValueSource.YAML and option.yaml:
        return option.yaml_path
    return option.env


def read_text(path: str) -> str:
    """Returns the content of a text file.

    Raises: ValueError if the file cannot be read. The message does not quote the content.
    """
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
    """Returns the secret in a file, without the line break at the end.

    Raises: ValueError if the file is empty or cannot be read. The message names the file and does
    not quote the content.
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
    """Returns the invalid part of the value for the error message.

    Returns the whole value if the error names no part, and "" for a YAML mapping or list.
    """
    if refusal.shown is None:
        return ""
    text = refusal.shown or (raw.value if isinstance(raw, ScalarNode) else raw)
    return presentable(text) if isinstance(text, str) else ""
