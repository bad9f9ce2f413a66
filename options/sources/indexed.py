"""Reads providers from numbered variables such as CODER_EXTERNAL_AUTH_0_CLIENT_ID."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from options.catalogue import AI_PROVIDERS, CATALOGUE
from options.errors import nearest_name, presentable
from options.option import by_env
from options.sources.environment import AI_FAMILIES, AUTH_FAMILIES, unknown_variable
from options.sources.settings import Gathered, read_secret
from options.values.base import ValueRefusedError
from options.values.scalars import Bool
from options.values.structs import AI_PROVIDER_FIELDS, EXTERNAL_AUTH_FIELDS, Field

_NUMBERED = re.compile(r"(?P<number>[0-9]{1,6})_(?P<key>.*)", re.DOTALL)
_FILE = "_FILE"
# One option has the prefix of a family.
_OPTIONS = by_env(CATALOGUE)


def _words(text: str) -> list[str] | None:
    return text.split(" ") if text else None


# Maps the default value of a key to the function that parses the variable of this key.
_PARSERS: Mapping[object, Callable[[str], Any]] = {"": str, False: Bool().parse, None: _words}


@dataclass(frozen=True, slots=True)
class Family:
    """A family of numbered variables. Each number is one record.

    `prefixes` are the current and the old prefix of the variables. With `is_exclusive`, they cannot
    be used together. Each key of the records has a variable. The variable's name ends with the key
    in upper case, or with the name in `names`.
    """

    option: str
    json_path: str
    prefixes: tuple[str, str]
    fields: Mapping[str, Field]
    names: Mapping[str, str] = field(default_factory=dict)
    is_exclusive: bool = False

    def readers(self) -> dict[str, tuple[str, Callable[[str], Any]]]:
        """Returns the key and the parser for the end of each variable's name."""
        found: dict[str, tuple[str, Callable[[str], Any]]] = {}
        for key, each in self.fields.items():
            name = self.names.get(key, key.upper())
            found[name] = key, _PARSERS[each.absent]
            if each.secret:
                found[name + _FILE] = key, read_secret
        return found


EXTERNAL_AUTH = Family(
    "External Auth Providers",
    "external_auth",
    AUTH_FAMILIES,
    EXTERNAL_AUTH_FIELDS,
    {"code_challenge_methods_supported": "PKCE_METHODS"},
)
AI_GATEWAY = Family(
    AI_PROVIDERS.name,
    AI_PROVIDERS.json_path,
    AI_FAMILIES,
    AI_PROVIDER_FIELDS,
    {
        "provider_key": "KEY",
        "provider_keys": "KEYS",
        "provider_access_key": "BEDROCK_ACCESS_KEY",
        "provider_access_key_secret": "BEDROCK_ACCESS_KEY_SECRET",
    },
    is_exclusive=True,
)
FAMILIES = (EXTERNAL_AUTH, AI_GATEWAY)


def read_providers(
    family: Family, variables: Mapping[str, str], gathered: Gathered
) -> dict[str, dict[str, Any]]:
    """Returns a mapping from variable prefixes, such as CODER_EXTERNAL_AUTH_0_, to providers.

    The names in `variables` must be in upper case. An empty value counts as set. Errors and
    warnings are added to `gathered`.
    """
    providers: dict[str, dict[str, Any]] = {}
    for prefix in family.prefixes:
        numbered = _by_number(variables, prefix, family.option, gathered)
        _refuse_gap(numbered, prefix, family.option, gathered)
        for number in sorted(numbered):
            place = f"{prefix}{number}_"
            providers[place] = _provider(family, numbered[number], place, gathered)
    _judge_old_prefix(family, providers, gathered)
    return providers


def _judge_old_prefix(family: Family, places: Mapping[str, object], gathered: Gathered) -> None:
    """Warns about the old prefix. Adds an error if the prefixes cannot be used together."""
    new, old = family.prefixes
    if not any(place.startswith(old) for place in places):
        return
    if family.is_exclusive and any(place.startswith(new) for place in places):
        problem = f"cannot be used together with {new}<n>_<KEY>; rename these variables"
        gathered.refuse(f"{old}<n>_<KEY>", problem, option=family.option)
    else:
        gathered.warnings.append(f"{old}<n>_<KEY> is deprecated; use {new}<n>_<KEY> instead")


def _by_number(
    variables: Mapping[str, str], prefix: str, option: str, gathered: Gathered
) -> dict[int, dict[str, str]]:
    numbered: dict[int, dict[str, str]] = {}
    for name, text in variables.items():
        if not name.startswith(prefix) or name in _OPTIONS:
            continue
        if found := _NUMBERED.fullmatch(name.removeprefix(prefix)):
            numbered.setdefault(int(found["number"]), {})[found["key"]] = text
        else:
            problem, accepted = "has no provider number", f"{prefix}<n>_<KEY>"
            gathered.refuse(name, problem, option=option, accepted=accepted)
    return numbered


def _refuse_gap(
    numbered: Mapping[int, object], prefix: str, option: str, gathered: Gathered
) -> None:
    """Adds an error if a provider's number is missing."""
    for expected, number in enumerate(sorted(numbered)):
        if number != expected:
            problem = f"provider {expected} is missing; number the providers 0, 1, 2 and so on"
            gathered.refuse(f"{prefix}{number}_*", problem, option=option)
            return


def _provider(
    family: Family, texts: Mapping[str, str], place: str, gathered: Gathered
) -> dict[str, Any]:
    provider = {key: each.absent for key, each in family.fields.items()}
    readers = family.readers()
    for name, text in texts.items():
        variable, secret = f"{place}{name}", name.removesuffix(_FILE)
        if name not in readers:
            nearest = nearest_name(name, readers)
            known = f"{place}{nearest}" if nearest else ""
            gathered.warnings.append(unknown_variable(variable, known))
        elif name.endswith(_FILE) and secret in texts:
            problem = f"cannot be set together with {place}{secret}; remove one of the two"
            gathered.refuse(variable, problem, option=family.option)
        else:
            key, read = readers[name]
            try:
                provider[key] = read(text)
            except ValueError as error:
                _refuse(error, text, variable, family.option, gathered)
    return provider


def _refuse(error: ValueError, text: str, place: str, option: str, gathered: Gathered) -> None:
    if isinstance(error, ValueRefusedError):
        shown, accepted = presentable(text), Bool.accepted
        gathered.refuse(place, error.problem, option=option, shown=shown, accepted=accepted)
    else:
        gathered.refuse(place, str(error), option=option)
