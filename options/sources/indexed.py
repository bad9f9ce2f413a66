"""Reads external auth providers from variables such as CODER_EXTERNAL_AUTH_0_CLIENT_ID."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from options.errors import nearest_name, presentable
from options.sources.environment import FAMILIES, unknown_variable
from options.sources.settings import Gathered, read_secret
from options.values.base import ValueRefusedError
from options.values.scalars import Bool
from options.values.structs import EXTERNAL_AUTH_FIELDS, EXTERNAL_AUTH_SECRET

OPTION = "External Auth Providers"

_NUMBERED = re.compile(r"(?P<number>[0-9]{1,6})_(?P<key>.*)", re.DOTALL)
_SECRET_KEY = EXTERNAL_AUTH_SECRET.upper()
_SECRET_FILE_KEY = f"{_SECRET_KEY}_FILE"


def _words(text: str) -> list[str] | None:
    return text.split(" ") if text else None


# Maps the default value of a key to the function that parses the variable of this key.
_PARSERS: Mapping[object, Callable[[str], Any]] = {"": str, False: Bool().parse, None: _words}
# Each key of a provider has a variable. The variable's name ends with the key in upper case, except
# for this key.
_NAMES = {"code_challenge_methods_supported": "PKCE_METHODS"}
_READERS = {
    _NAMES.get(key, key.upper()): (key, _PARSERS[field.absent])
    for key, field in EXTERNAL_AUTH_FIELDS.items()
} | {_SECRET_FILE_KEY: (EXTERNAL_AUTH_SECRET, read_secret)}


def read_providers(variables: Mapping[str, str], gathered: Gathered) -> dict[str, dict[str, Any]]:
    """Returns a mapping from variable prefixes, such as CODER_EXTERNAL_AUTH_0_, to providers.

    The names in `variables` must be in upper case. An empty value counts as set. Errors and
    warnings are added to `gathered`.
    """
    providers: dict[str, dict[str, Any]] = {}
    for family in FAMILIES:
        numbered = _by_number(variables, family, gathered)
        _refuse_gap(numbered, family, gathered)
        for number in sorted(numbered):
            place = f"{family}{number}_"
            providers[place] = _provider(numbered[number], place, gathered)
    return providers


def _by_number(
    variables: Mapping[str, str], family: str, gathered: Gathered
) -> dict[int, dict[str, str]]:
    numbered: dict[int, dict[str, str]] = {}
    for name, text in variables.items():
        if not name.startswith(family):
            continue
        if found := _NUMBERED.fullmatch(name.removeprefix(family)):
            numbered.setdefault(int(found["number"]), {})[found["key"]] = text
        else:
            problem, accepted = "has no provider number", f"{family}<n>_<KEY>"
            gathered.refuse(name, problem, option=OPTION, accepted=accepted)
    return numbered


def _refuse_gap(numbered: Mapping[int, object], family: str, gathered: Gathered) -> None:
    """Adds an error if a provider's number is missing."""
    for expected, number in enumerate(sorted(numbered)):
        if number != expected:
            problem = f"provider {expected} is missing; number the providers 0, 1, 2 and so on"
            gathered.refuse(f"{family}{number}_*", problem, option=OPTION)
            return


def _provider(texts: Mapping[str, str], place: str, gathered: Gathered) -> dict[str, Any]:
    provider = {key: field.absent for key, field in EXTERNAL_AUTH_FIELDS.items()}
    for name, text in texts.items():
        if name not in _READERS:
            nearest = nearest_name(name, _READERS)
            known = f"{place}{nearest}" if nearest else ""
            gathered.warnings.append(unknown_variable(f"{place}{name}", known))
        elif name == _SECRET_FILE_KEY and _SECRET_KEY in texts:
            problem = f"cannot be set together with {place}{_SECRET_KEY}; remove one of the two"
            gathered.refuse(f"{place}{name}", problem, option=OPTION)
        else:
            _read(name, text, provider, place=place, gathered=gathered)
    return provider


def _read(
    name: str, text: str, provider: dict[str, Any], *, place: str, gathered: Gathered
) -> None:
    key, read = _READERS[name]
    try:
        provider[key] = read(text)
    except ValueRefusedError as refusal:
        shown, accepted = presentable(text), Bool.accepted
        problem = refusal.problem
        gathered.refuse(f"{place}{name}", problem, option=OPTION, shown=shown, accepted=accepted)
    except ValueError as error:
        gathered.refuse(f"{place}{name}", str(error), option=OPTION)
