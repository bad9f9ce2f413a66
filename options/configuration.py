"""The effective configuration: what flags, environment, YAML file and defaults say together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from options.catalogue import CATALOGUE
from options.errors import ConfigurationError, OptionError
from options.option import Option, ValueSource
from options.resolution import Resolved, Resolver
from options.sources import indexed
from options.sources.environment import read_environment, upper_cased
from options.sources.flags import read_flags
from options.sources.settings import Setting
from options.sources.yaml_file import read_yaml_file
from options.startup import change_at_start

__all__ = ["Configuration", "ConfigurationError", "OptionError", "check", "load"]

CONFIG_PATH = "config"
EXTERNAL_AUTH = "external_auth"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Values by JSON path, and where each comes from.

    `places` names the variable, the flag or file:line:column of those that were set. The
    representation shows none of this, since some values are secret.
    """

    options: tuple[Option, ...] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    sources: Mapping[str, ValueSource] = field(repr=False)
    places: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = field(repr=False)

    def __getitem__(self, json_path: str) -> Any:
        return self.values[json_path]

    def option(self, name: str) -> Option:
        """The option of this name, with the default that holds on this machine."""
        return next(option for option in self.options if option.name == name)

    def source(self, option_name: str) -> ValueSource:
        return self.sources[self.option(option_name).json_path]

    def replace(self, values: Mapping[str, Any]) -> Configuration:
        """The same with values that the start has worked out; their sources stay as they are."""
        unknown = values.keys() - self.values.keys()
        if unknown:
            raise KeyError(*sorted(unknown))
        return dataclasses.replace(self, values={**self.values, **values})


def load(
    environ: Mapping[str, str],
    *,
    flags: Sequence[tuple[str, str | None]] = (),
    catalogue: Sequence[Option] = CATALOGUE,
    defaults: Mapping[str, str] | None = None,
) -> Configuration:
    """The configuration that these sources give; the YAML file is the one that they name.

    `defaults` replaces texts of the catalogue's defaults by JSON path, for those that depend on the
    machine.

    Raises: ConfigurationError with everything that is wrong in any source.
    """
    options = tuple(_with_default(option, defaults or {}) for option in catalogue)
    variables = upper_cased(environ)
    resolver = _read_sources(variables, flags, options)
    providers = indexed.read_providers(variables)
    errors = [*resolver.errors, *providers.errors]
    warnings = (*resolver.warnings, *providers.warnings)
    if errors:
        raise ConfigurationError(errors, warnings=warnings)
    resolved = resolver.resolved()
    values = {path: item.value for path, item in resolved.items()}
    if EXTERNAL_AUTH in values:
        values[EXTERNAL_AUTH] = [*(values[EXTERNAL_AUTH] or ()), *providers.items] or None
    change_at_start(values, flags=dict(flags), variables=variables)
    return _configuration(options, values, resolved, warnings)


def check(files: Iterable[str], *, catalogue: Sequence[Option] = CATALOGUE) -> list[OptionError]:
    """All that is wrong with these YAML files, each read for itself."""
    errors: list[OptionError] = []
    for file in files:
        resolver = Resolver(tuple(catalogue))
        resolver.add(read_yaml_file(file, catalogue=catalogue))
        errors += resolver.errors
    return errors


def _read_sources(
    variables: Mapping[str, str],
    flags: Sequence[tuple[str, str | None]],
    options: tuple[Option, ...],
) -> Resolver:
    environment = read_environment(variables, catalogue=options)
    command_line = read_flags(flags, catalogue=options)
    resolver = Resolver(options)
    resolver.add(environment)
    resolver.add(command_line)
    path = _config_path([*environment.settings, *command_line.settings])
    if path:
        resolver.add(read_yaml_file(path, catalogue=options))
    return resolver


def _configuration(
    options: tuple[Option, ...],
    values: Mapping[str, Any],
    resolved: Mapping[str, Resolved],
    warnings: tuple[str, ...],
) -> Configuration:
    return Configuration(
        options,
        values,
        sources={path: item.source for path, item in resolved.items()},
        places={path: item.place for path, item in resolved.items()},
        warnings=warnings,
    )


def _with_default(option: Option, defaults: Mapping[str, str]) -> Option:
    if option.json_path not in defaults or option.use_instead:
        return option
    return dataclasses.replace(option, default=defaults[option.json_path])


def _config_path(settings: Iterable[Setting]) -> str:
    """What the last setting says: flags come after the environment."""
    paths = [setting.raw for setting in settings if setting.option.json_path == CONFIG_PATH]
    return str(paths[-1]) if paths else ""
