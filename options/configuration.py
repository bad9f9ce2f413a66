"""Loads the effective configuration from flags, environment, YAML file and defaults."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernel.text_values import TRUE
from options.catalogue import CATALOGUE, OWN_OPTIONS
from options.errors import ConfigurationError, OptionError
from options.option import Option, ValueSource
from options.sources.environment import read_environment, upper_cased
from options.sources.flags import read_flags
from options.sources.indexed import read_providers
from options.sources.settings import Gathered, Setting
from options.sources.yaml_file import read_yaml_file
from options.values.addresses import HostPort

__all__ = ["Configuration", "ConfigurationError", "OptionError", "check", "load"]

CONFIG_PATH = "config"
EXTERNAL_AUTH = "external_auth"

_REDIRECT_FLAG = "tls-redirect-http-to-https"
_REDIRECT_VARIABLES = ("CODER_TLS_REDIRECT_HTTP", "CODER_TLS_REDIRECT_HTTP_TO_HTTPS")

type Flags = Sequence[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The effective values with their sources and places.

    The keys of the mappings are JSON paths for Coder's options, and variables for our own settings.
    `options` contains Coder's options only. `places` contains the variable, the flag or
    file:line:column of each value that is set. `repr` hides all values, because some are secret.
    """

    options: tuple[Option, ...] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    sources: Mapping[str, ValueSource] = field(repr=False)
    places: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = field(repr=False)

    def __getitem__(self, json_path: str) -> Any:
        return self.values[json_path]

    def option(self, name: str) -> Option:
        """Returns the option or setting with this name.

        Its default can differ from the catalogue, because some defaults depend on the machine.
        """
        return next(each for each in (*self.options, *OWN_OPTIONS) if each.name == name)

    def value(self, option_name: str) -> Any:
        return self.values[self.option(option_name).json_path]

    def replace(self, values: Mapping[str, Any]) -> Configuration:
        """Returns a copy with other values and the same sources."""
        return dataclasses.replace(self, values={**self.values, **values})

    def secrets(self) -> Iterator[str]:
        """Yields every secret that is set, so that logs can redact them."""
        for option in (*self.options, *OWN_OPTIONS):
            value = self.values[option.json_path]
            if option.secret and value and self.places[option.json_path]:
                yield from value if isinstance(value, list) else [str(value)]
        for provider in self.values[EXTERNAL_AUTH] or ():
            if provider["client_secret"]:
                yield provider["client_secret"]


def load(
    environ: Mapping[str, str], *, flags: Flags = (), defaults: Mapping[str, str] | None = None
) -> Configuration:
    """Returns the configuration from the environment, the flags and the YAML file.

    The option Config Path names the YAML file. `defaults` maps JSON paths to strings that replace
    the catalogue's defaults.

    Raises: ConfigurationError. It lists the mistakes of all sources.
    """
    options = tuple(_with_default(option, defaults or {}) for option in CATALOGUE)
    variables = upper_cased(environ)
    environment = read_environment(environ)
    providers = read_providers(variables, environment)
    sources = [environment, read_flags(flags)]
    if file := _config_file(sources):
        sources.append(read_yaml_file(file))
    warnings = tuple(warning for source in sources for warning in source.warnings)
    if errors := [error for source in sources for error in source.errors]:
        raise ConfigurationError(errors, warnings=warnings)
    found = _resolved((*options, *OWN_OPTIONS), sources)
    values = {path: item.value for path, item in found.items()}
    places = {path: item.place for path, item in found.items()}
    if providers:
        values[EXTERNAL_AUTH] = [*(values[EXTERNAL_AUTH] or ()), *providers.values()]
        # Only the place is set. The source stays empty, because Coder's server sends an empty
        # source for this option.
        places[EXTERNAL_AUTH] = places[EXTERNAL_AUTH] or f"{next(iter(providers))}*"
    _change_at_start(values, redirects=_sets_redirect(flags, variables))
    return Configuration(
        options,
        values,
        sources={path: item.source for path, item in found.items()},
        places=places,
        warnings=warnings,
    )


def check(files: Iterable[str]) -> list[OptionError]:
    """Returns the mistakes of all these YAML files."""
    return [error for file in dict.fromkeys(files) for error in read_yaml_file(file).errors]


def _config_file(sources: Iterable[Gathered]) -> str:
    """Returns the path of the YAML file, or "". A flag overrides the environment."""
    settings = (setting for source in sources for setting in source.settings)
    files = [setting.value for setting in settings if setting.option.json_path == CONFIG_PATH]
    return files[-1] if files else ""


def _with_default(option: Option, defaults: Mapping[str, str]) -> Option:
    if option.json_path not in defaults or option.use_instead:
        return option
    return dataclasses.replace(option, default=defaults[option.json_path])


def _change_at_start(values: dict[str, Any], *, redirects: bool) -> None:
    """Changes values as Coder's server does at its start, so that clients get the same values."""
    if values["address"]:
        _spread_address(values)
    if values["rate_limit.disable_all"]:
        values["rate_limit.api"] = -1
    if values["tls.enable"] and redirects:
        values["redirect_to_access_url"] = values["tls.redirect_http"]


def _spread_address(values: dict[str, Any]) -> None:
    """Copies the deprecated option Address to one listener, and disables the other listener.

    If TLS is enabled, the TLS listener gets the address. Otherwise the HTTP listener gets it.
    """
    if values["tls.enable"]:
        values["tls.address"], values["http_address"] = values["address"], ""
    else:
        values["http_address"], values["tls.address"] = str(values["address"]), HostPort()


def _sets_redirect(flags: Flags, variables: Mapping[str, str]) -> bool:
    set_to = (variables.get(name) for name in _REDIRECT_VARIABLES)
    return _REDIRECT_FLAG in dict(flags) or not TRUE.isdisjoint(set_to)


# --- The effective values ---------------------------------------------------------------------


def _resolved(options: Iterable[Option], sources: Iterable[Gathered]) -> dict[str, Setting]:
    """Returns the effective settings by JSON path, in the options' order.

    `sources` must begin with the environment, so that a flag overrides the environment.
    """
    read: dict[str, list[Setting]] = defaultdict(list)
    for gathered in sources:
        for setting in gathered.settings:
            read[setting.option.json_path].append(setting)
    effective: dict[str, Setting] = {}
    for option in options:
        path = option.json_path
        if path in read:
            effective[path] = _combined(read[path])
        elif option.default:
            value = option.type.parse(option.default)
            effective[path] = Setting(option, ValueSource.DEFAULT, "", value)
        elif path not in effective:
            effective[path] = Setting(option, ValueSource.UNSET, "", option.type.zero)
    return effective


def _combined(settings: Sequence[Setting]) -> Setting:
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
