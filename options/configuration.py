"""Loads the effective configuration from flags, environment, YAML file and defaults."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernel.text.values import TRUE
from options.catalogue import AI_PROVIDERS, CATALOGUE, OWN_OPTIONS
from options.errors import ConfigurationError, OptionError
from options.option import Option, ValueSource
from options.sources.environment import (
    FAMILIES,
    read_environment,
    read_providers,
    upper_cased,
)
from options.sources.flags import read_flags
from options.sources.settings import Gathered, Setting
from options.sources.yaml_file import read_yaml_file
from options.values.addresses import HostPort
from options.values.scalars import Bool
from options.values.structs import Records, secrets_of

__all__ = ["Configuration", "ConfigurationError", "OptionError", "check", "load"]

CONFIG_PATH = "config"
ACCESS_URL, TLS_ENABLE = "access_url", "tls.enable"
SECURE_COOKIE = "http_cookies.secure_auth_cookie"

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

    @property
    def leaves(self) -> tuple[Option, ...]:
        """Returns Coder's options, and the values that are not options."""
        return (*self.options, AI_PROVIDERS)

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
        for option in (*self.leaves, *OWN_OPTIONS):
            value = self.values[option.json_path]
            if option.secret and value and self.places[option.json_path]:
                yield from value if isinstance(value, list) else [str(value)]
            if isinstance(option.type, Records):
                yield from secrets_of(value)


def load(
    environ: Mapping[str, str], *, flags: Flags = (), defaults: Mapping[str, str] | None = None
) -> Configuration:
    """Returns the configuration from the environment, the flags and the YAML file.

    The option Config Path names the YAML file. `defaults` maps JSON paths to strings that replace
    the catalogue's defaults.

    Raises: ConfigurationError. It lists the mistakes of all sources.
    """
    variables = upper_cased(environ)
    environment = read_environment(environ)
    families = {
        family.json_path: read_providers(family, variables, environment) for family in FAMILIES
    }
    sources = [environment, read_flags(flags)]
    sources += _file(sources)
    if errors := [error for source in sources for error in source.errors]:
        raise ConfigurationError(errors, warnings=_warnings(sources))
    computed = {**(defaults or {}), SECURE_COOKIE: _secure_cookie(sources)}
    options = tuple(
        dataclasses.replace(option, default=computed[option.json_path])
        if option.json_path in computed and not option.use_instead
        else option
        for option in CATALOGUE
    )
    found = _resolved((*options, AI_PROVIDERS, *OWN_OPTIONS), sources)
    for path, providers in families.items():
        if providers:
            found[path] = _with_providers(found[path], providers)
    values = {path: item.value for path, item in found.items()}
    _change_at_start(values, redirects=_redirects(variables, flags))
    return Configuration(
        options,
        values,
        sources={path: item.source for path, item in found.items()},
        places={path: item.place for path, item in found.items()},
        warnings=_warnings(sources),
    )


def _redirects(variables: Mapping[str, str], flags: Flags) -> bool:
    """Returns whether the deprecated flag or variable for the redirect to the access URL is set."""
    set_to = (variables.get(name) for name in _REDIRECT_VARIABLES)
    return _REDIRECT_FLAG in dict(flags) or not TRUE.isdisjoint(set_to)


def _file(sources: Iterable[Gathered]) -> list[Gathered]:
    """Reads the YAML file that a flag names, or else the one that the environment names."""
    settings = [setting for source in sources for setting in source.settings]
    files = [each.value for each in settings if each.option.json_path == CONFIG_PATH]
    return [read_yaml_file(files[-1])] if files and files[-1] else []


def _with_providers(setting: Setting, providers: Mapping[str, dict[str, Any]]) -> Setting:
    """Adds the providers from numbered variables. The first of these variables is their place.

    The source stays empty, because Coder's server sends an empty source for these values.
    """
    value = [*(setting.value or ()), *providers.values()]
    place = setting.place or f"{next(iter(providers))}*"
    return dataclasses.replace(setting, value=value, place=place)


def _secure_cookie(sources: Sequence[Gathered]) -> str:
    """Returns the default of Secure Auth Cookie, which depends on the scheme of the access URL.

    Without an access URL, the server uses the address on which it listens, with https for TLS.
    """
    options = [option for option in CATALOGUE if option.json_path in {ACCESS_URL, TLS_ENABLE}]
    found = _resolved(options, sources)
    url, tls = found[ACCESS_URL].value, found[TLS_ENABLE].value
    return Bool().format(url.scheme == "https" if url else tls)


def check(files: Iterable[str]) -> list[OptionError]:
    """Returns the mistakes of all these YAML files."""
    return [error for file in dict.fromkeys(files) for error in read_yaml_file(file).errors]


def _change_at_start(values: dict[str, Any], *, redirects: bool) -> None:
    """Changes values as Coder's server does at its start, so that clients get the same values."""
    address = values["address"]
    if address and values["tls.enable"]:
        # The deprecated option Address is copied to one listener, and disables the other one.
        values["tls.address"], values["http_address"] = address, ""
    elif address:
        values["http_address"], values["tls.address"] = str(address), HostPort()
    if values["rate_limit.disable_all"]:
        values["rate_limit.api"] = -1
    if values["tls.enable"] and redirects:
        values["redirect_to_access_url"] = values["tls.redirect_http"]


# --- The effective values ---------------------------------------------------------------------


def _resolved(options: Iterable[Option], sources: Iterable[Gathered]) -> dict[str, Setting]:
    """Returns the effective settings by JSON path, in the options' order."""
    read = _settings_by_path(sources)
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


def _settings_by_path(sources: Iterable[Gathered]) -> dict[str, list[Setting]]:
    read: dict[str, list[Setting]] = defaultdict(list)
    for gathered in sources:
        for setting in gathered.settings:
            read[setting.option.json_path].append(setting)
    return read


def _winner(settings: Sequence[Setting]) -> Setting:
    """Returns the setting that applies.

    Flags override the environment, and the environment overrides the file. In one source, the new
    name of an option overrides its old name.
    """
    order = list(ValueSource)
    strongest = max((setting.source for setting in settings), key=order.index)
    found = [setting for setting in settings if setting.source is strongest]
    return ([setting for setting in found if not setting.option.use_instead] or found)[-1]


def _combined(settings: Sequence[Setting]) -> Setting:
    """Returns the setting that applies, with the merged value.

    The type merges values from the environment and flags. The YAML file is used only if neither the
    environment nor a flag sets the option.
    """
    winner = _winner(settings)
    value = winner.option.type.zero
    for setting in settings:
        if setting.option is winner.option and not (
            setting.source is ValueSource.YAML and winner.source is not ValueSource.YAML
        ):
            value = winner.option.type.merge(value, setting.value)
    return dataclasses.replace(winner, value=value)


def _warnings(sources: Sequence[Gathered]) -> tuple[str, ...]:
    winners = {path: _winner(found) for path, found in _settings_by_path(sources).items()}
    return tuple(
        warning
        for source in sources
        for warning in (*source.warnings_about_names(winners), *source.warnings)
    )
