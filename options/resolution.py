"""Determines the effective value of each option from the settings of all sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from options.errors import OptionError
from options.option import Option, ValueSource
from options.sources.settings import Gathered, Setting


class Resolver:
    """Collects settings, errors and warnings from the sources, and resolves the settings."""

    def __init__(self, options: tuple[Option, ...]) -> None:
        self.errors: list[OptionError] = []
        self.warnings: list[str] = []
        self._options = options
        self._by_name = {option.name: option for option in options}
        self._read: dict[str, list[Setting]] = {}

    def add(self, gathered: Gathered) -> None:
        self.errors += gathered.errors
        self.warnings += gathered.warnings
        for setting in gathered.settings:
            others = self._read.setdefault(setting.option.json_path, [])
            self.errors += _contradictions(setting, others)
            others.append(setting)
        for option in dict.fromkeys(setting.option for setting in gathered.settings):
            self._warn_if_deprecated(option, gathered.source)

    def resolved(self) -> dict[str, Setting]:
        """Returns the effective settings by JSON path, in the options' order."""
        effective: dict[str, Setting] = {}
        for option in self._options:
            path = option.json_path
            if path in self._read:
                effective[path] = _combined(self._read[path])
            elif option.default:
                value = option.type.parse(option.default)
                effective[path] = Setting(option, ValueSource.DEFAULT, "", value)
            elif path not in effective:
                effective[path] = Setting(option, ValueSource.UNSET, "", option.type.zero)
        return effective

    def _warn_if_deprecated(self, option: Option, source: ValueSource) -> None:
        if option.use_instead:
            new = " and ".join(
                _spelling(self._by_name[name], source) for name in option.use_instead
            )
            self.warnings.append(f"{_spelling(option, source)} is deprecated; use {new} instead")
        elif option.deprecated:
            self.warnings.append(f"{_spelling(option, source)} is deprecated and ignored")


def _contradictions(setting: Setting, others: list[Setting]) -> Iterator[OptionError]:
    """Yields an error if a source sets the old and the new name of an option to two values."""
    for other in others:
        if (
            other.source is setting.source
            and other.option is not setting.option
            and other.value != setting.value
            and not setting.option.type.combines
        ):
            problem = f"differs from {other.place}, which sets the same value"
            yield OptionError(problem, setting.place, setting.option.name, setting.source)


def _combined(settings: list[Setting]) -> Setting:
    """Returns the last setting of the source with the highest precedence, with the merged value.

    Values from the environment and flags are merged if the type has `combines`. The YAML file is
    used only if neither the environment nor a flag sets the option.
    """
    stronger = [each for each in settings if each.source is not ValueSource.YAML] or settings
    last = stronger[-1]
    value = last.option.type.zero
    for setting in stronger:
        value = last.option.type.merge(value, setting.value)
    return dataclasses.replace(last, value=value)


def _spelling(option: Option, source: ValueSource) -> str:
    if source is ValueSource.FLAG:
        return f"--{option.flag}"
    if source is ValueSource.YAML and option.yaml:
        return option.yaml_path
    return option.env
