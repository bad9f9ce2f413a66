"""External sign-in providers from numbered variables, such as CODER_EXTERNAL_AUTH_0_CLIENT_ID."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from options.errors import OptionError, nearest_name, presentable
from options.option import ValueSource
from options.sources.environment import FAMILIES, read_secret_file, unknown_variable
from options.values import Bool, ValueRefusedError
from options.values.structs import EXTERNAL_AUTH_FIELDS

OPTION = "External Auth Providers"

_MAX_DIGITS = 6


def _words(text: str) -> list[str] | None:
    return text.split(" ") if text else None


# The last part of a variable's name: the provider's key, and the reader of its text.
_KEYS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "ID": ("id", str),
    "TYPE": ("type", str),
    "CLIENT_ID": ("client_id", str),
    "CLIENT_SECRET": ("client_secret", str),
    "AUTH_URL": ("auth_url", str),
    "TOKEN_URL": ("token_url", str),
    "VALIDATE_URL": ("validate_url", str),
    "REVOKE_URL": ("revoke_url", str),
    "REGEX": ("regex", str),
    "DEVICE_FLOW": ("device_flow", Bool().parse),
    "DEVICE_CODE_URL": ("device_code_url", str),
    "NO_REFRESH": ("no_refresh", Bool().parse),
    "SCOPES": ("scopes", _words),
    "EXTRA_TOKEN_KEYS": ("extra_token_keys", _words),
    "PKCE_METHODS": ("code_challenge_methods_supported", _words),
    "APP_INSTALL_URL": ("app_install_url", str),
    "APP_INSTALLATIONS_URL": ("app_installations_url", str),
    "DISPLAY_NAME": ("display_name", str),
    "DISPLAY_ICON": ("display_icon", str),
    "MCP_URL": ("mcp_url", str),
    "MCP_TOOL_ALLOW_REGEX": ("mcp_tool_allow_regex", str),
    "MCP_TOOL_DENY_REGEX": ("mcp_tool_deny_regex", str),
}
_SECRET_KEY = "CLIENT_SECRET"  # noqa: S105  # The name of a variable's last part.
_SECRET_FILE_KEY = f"{_SECRET_KEY}_FILE"


@dataclass(slots=True)
class Providers:
    """The providers of all families in their order, with errors and warnings."""

    items: list[dict[str, Any]] = field(default_factory=list, repr=False)
    errors: list[OptionError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_providers(variables: Mapping[str, str]) -> Providers:
    """Reads the variables, which have upper-case names. Empty values are kept as they are."""
    providers = Providers()
    for family in FAMILIES:
        numbered = _by_number(variables, family, providers=providers)
        providers.errors.extend(_gaps(numbered, family))
        for number in sorted(numbered):
            place = f"{family}{number}_"
            providers.items.append(_provider(numbered[number], place, providers=providers))
    return providers


def _by_number(
    variables: Mapping[str, str], family: str, *, providers: Providers
) -> dict[int, dict[str, str]]:
    numbered: dict[int, dict[str, str]] = {}
    for name, text in variables.items():
        if not name.startswith(family):
            continue
        number, underscore, key = name.removeprefix(family).partition("_")
        if not underscore or not _is_number(number):
            problem = f"lacks the number of a provider; accepted: {family}<n>_<KEY>"
            providers.errors.append(_error(problem, name))
            continue
        numbered.setdefault(int(number), {})[key] = text
    return numbered


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS


def _gaps(numbered: Mapping[int, object], family: str) -> Iterator[OptionError]:
    """Yields a complaint about the first number that is missing."""
    for expected, number in enumerate(sorted(numbered)):
        if number != expected:
            problem = f"provider {expected} is missing: numbers start at 0 and have no gaps"
            yield _error(problem, f"{family}{number}_*")
            return


def _provider(texts: Mapping[str, str], place: str, *, providers: Providers) -> dict[str, Any]:
    provider = {key: field.absent for key, field in EXTERNAL_AUTH_FIELDS.items()}
    for key, text in texts.items():
        if key == _SECRET_FILE_KEY:
            _read_secret(provider, texts, place, providers=providers)
        elif key in _KEYS:
            _read_key(provider, key, text, place=place, providers=providers)
        else:
            nearest = nearest_name(key, _KEYS)
            known = f"{place}{nearest}" if nearest else ""
            providers.warnings.append(unknown_variable(f"{place}{key}", known))
    return provider


def _read_key(
    provider: dict[str, Any], key: str, text: str, *, place: str, providers: Providers
) -> None:
    name, parse = _KEYS[key]
    try:
        provider[name] = parse(text)
    except ValueRefusedError as refusal:
        providers.errors.append(
            _error(
                refusal.problem, f"{place}{key}", shown=presentable(text), accepted=Bool.accepted
            )
        )


def _read_secret(
    provider: dict[str, Any], texts: Mapping[str, str], place: str, *, providers: Providers
) -> None:
    name = f"{place}{_SECRET_FILE_KEY}"
    if _SECRET_KEY in texts:
        problem = f"is set, and so is {place}{_SECRET_KEY}; keep one of them"
        providers.errors.append(_error(problem, name))
        return
    path = Path(texts[_SECRET_FILE_KEY])
    try:
        provider["client_secret"] = read_secret_file(path)
    except ValueError as error:
        providers.errors.append(_error(str(error), name))


def _error(problem: str, place: str, *, shown: str = "", accepted: str = "") -> OptionError:
    return OptionError(
        problem, place, option=OPTION, source=ValueSource.ENV, shown=shown, accepted=accepted
    )
