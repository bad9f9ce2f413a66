"""All that was set for this process: our own variables, Coder's options, or what is wrong there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from coderapi import __version__, own_settings
from kernel.release import is_development
from options.configuration import Configuration, ConfigurationError, load
from options.startup import computed_defaults
from options.unsupported import refusals

BASE_DIR = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Configured:
    """`own` is by variable. `options` is as loaded, before the start fills in what it works out."""

    own: Mapping[str, Any] = field(repr=False)
    options: Configuration


def read(environ: Mapping[str, str], *, flags: Sequence[tuple[str, str | None]]) -> Configured:
    """What this environment and these flags say.

    Raises: ImproperlyConfigured with a line for each mistake of any source.
    """
    mistakes: list[str] = []
    own = _read_own(environ, mistakes)
    options = _read_options(environ, flags, mistakes, coder_version=_coder_version(own))
    if mistakes or own is None or options is None:
        raise ImproperlyConfigured("\n".join(mistakes))
    return Configured(own, options)


def options_in_force(
    environ: Mapping[str, str], *, flags: Sequence[tuple[str, str | None]]
) -> Configuration:
    """Coder's options alone. Raises: ConfigurationError."""
    try:
        coder_version = _coder_version(own_settings.read(environ))
    except ImproperlyConfigured:
        coder_version = _coder_version(None)
    return _load(environ, flags, coder_version=coder_version)


def _read_own(environ: Mapping[str, str], mistakes: list[str]) -> dict[str, Any] | None:
    try:
        return own_settings.read(environ)
    except ImproperlyConfigured as error:
        mistakes.append(str(error))
        return None


def _read_options(
    environ: Mapping[str, str],
    flags: Sequence[tuple[str, str | None]],
    mistakes: list[str],
    *,
    coder_version: str,
) -> Configuration | None:
    try:
        return _load(environ, flags, coder_version=coder_version)
    except ConfigurationError as error:
        mistakes.append(str(error))
        return None


def _coder_version(own: Mapping[str, Any] | None) -> str:
    name = "CODERAPI_CODER_VERSION"
    return str(own[name] if own else own_settings.default_of(name))


def _load(
    environ: Mapping[str, str],
    flags: Sequence[tuple[str, str | None]],
    *,
    coder_version: str,
) -> Configuration:
    defaults = computed_defaults(
        environ,
        coder_version=coder_version,
        development=is_development(BASE_DIR, __version__),
    )
    options = load(environ, flags=flags, defaults=defaults)
    if refused := refusals(options):
        raise ConfigurationError(refused, warnings=options.warnings)
    return options


def secret_texts(found: Configured) -> Iterator[str]:
    """Every secret that was set, for those who must keep them out of what they write."""
    for setting in own_settings.SETTINGS:
        if setting.secret and found.own[setting.name]:
            yield str(found.own[setting.name])
    for option in found.options.options:
        value = found.options[option.json_path]
        if option.secret:
            yield from [value] if isinstance(value, str) else value or ()
    for provider in found.options["external_auth"] or ():
        yield str(provider["client_secret"] or "")
