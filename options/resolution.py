"""Resolution: settings of several sources become one value for each place of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from options.errors import OptionError
from options.option import Option, ValueSource
from options.sources.settings import Gathered, Setting
from options.values import ValueRefusedError


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value, its source, and the variable, flag or line of a file that set it."""

    value: Any = field(repr=False)
    source: ValueSource
    place: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    setting: Setting
    value: Any = field(repr=False)


class Resolver:
    """Takes in the environment, then flags, then the file, and collects all errors."""

    def __init__(self, options: tuple[Option, ...]) -> None:
        self.errors: list[OptionError] = []
        self.warnings: list[str] = []
        self._options = options
        self._by_name = {option.name: option for option in options}
        self._read: dict[str, list[_Read]] = {}

    def add(self, gathered: Gathered) -> None:
        self.errors += gathered.errors
        self.warnings += gathered.warnings
        for setting in gathered.settings:
            self._add_setting(setting)
        for option in dict.fromkeys(setting.option.name for setting in gathered.settings):
            self._warn_if_deprecated(self._by_name[option], gathered.settings[0].source)

    def resolved(self) -> dict[str, Resolved]:
        """Returns the values by JSON path, in the order of the options."""
        values: dict[str, Resolved] = {}
        for option in self._options:
            path = option.json_path
            if path in self._read:
                values[path] = _combined(self._read[path])
            elif option.default:
                value = option.type.parse(option.default)
                values[path] = Resolved(value, ValueSource.DEFAULT)
            elif path not in values:
                values[path] = Resolved(option.type.zero, ValueSource.UNSET)
        return values

    def _add_setting(self, setting: Setting) -> None:
        try:
            value = setting.value()
        except ValueRefusedError as refusal:
            self.errors.append(setting.error(refusal))
            return
        others = self._read.setdefault(setting.option.json_path, [])
        self.errors += _contradictions(setting, value, others)
        others.append(_Read(setting, value))

    def _warn_if_deprecated(self, option: Option, source: ValueSource) -> None:
        if option.use_instead:
            new = " and ".join(
                _spelling(self._by_name[name], source) for name in option.use_instead
            )
            self.warnings.append(f"{_spelling(option, source)} is deprecated; use {new} instead")
        elif option.deprecated:
            self.warnings.append(f"{_spelling(option, source)} is deprecated and has no effect")


def _contradictions(setting: Setting, value: Any, others: list[_Read]) -> Iterator[OptionError]:
    """Yields an error where an old and a new name of one value differ in one source."""
    for other in others:
        if (
            other.setting.source is setting.source
            and other.setting.option is not setting.option
            and other.value != value
            and not setting.option.type.combines
        ):
            yield OptionError(
                f"says something else than {other.setting.place}, which sets the same value",
                setting.place,
                option=setting.option.name,
                source=setting.source,
            )


def _combined(reads: list[_Read]) -> Resolved:
    """Returns the value that counts.

    Environment and flags add up where the type combines; a file counts only without them.
    """
    stronger = [read for read in reads if read.setting.source is not ValueSource.YAML] or reads
    last = stronger[-1].setting
    value = last.option.type.zero
    for read in stronger:
        value = last.option.type.merge(value, read.value)
    return Resolved(value, last.source, last.place)


def _spelling(option: Option, source: ValueSource) -> str:
    if source is ValueSource.FLAG:
        return f"--{option.flag}"
    if source is ValueSource.YAML and option.yaml:
        return option.yaml_path
    return option.env
