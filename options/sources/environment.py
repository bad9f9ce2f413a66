"""Reads settings from environment variables, and secrets from the files in `<variable>_FILE`.

Numbered variables, such as CODER_EXTERNAL_AUTH_0_CLIENT_ID, contain the members of records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from options.catalogue import AI_PROVIDERS, CATALOGUE, OWN_OPTIONS
from options.errors import nearest_name, presentable
from options.option import Option, ValueSource, by_env, by_file_variable
from options.sources.settings import Gathered, read_secret
from options.values.base import ValueRefusedError
from options.values.scalars import Bool
from options.values.structs import AI_PROVIDER_FIELDS, EXTERNAL_AUTH_FIELDS, Field

# Variables that are not options, and that cause neither an error nor a warning.
_OTHERS = frozenset(
    {
        # Coder's command line reads these variables.
        *("CODER_URL", "CODER_SESSION_TOKEN", "CODER_CONFIG_DIR"),
        # This variable has an old name. Only the module `configuration` reads it.
        "CODER_TLS_REDIRECT_HTTP",
    }
)


_NUMBERED = re.compile(r"(?P<number>[0-9]{1,6})_(?P<key>.*)", re.DOTALL)
_FILE = "_FILE"


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
            found[name] = key, each.type.parse
            if each.secret:
                found[name + _FILE] = key, read_secret
        return found


EXTERNAL_AUTH = Family(
    "External Auth Providers",
    "external_auth",
    ("CODER_EXTERNAL_AUTH_", "CODER_GITAUTH_"),
    EXTERNAL_AUTH_FIELDS,
    {"code_challenge_methods_supported": "PKCE_METHODS"},
)
AI_GATEWAY = Family(
    AI_PROVIDERS.name,
    AI_PROVIDERS.json_path,
    ("CODER_AI_GATEWAY_PROVIDER_", "CODER_AIBRIDGE_PROVIDER_"),
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
_OTHER_PREFIXES = (
    *("CODER_AGENT_", "CODER_WORKSPACE_"),
    *(prefix for family in FAMILIES for prefix in family.prefixes),
)


def read_environment(environ: Mapping[str, str]) -> Gathered:
    """Returns the settings from the environment, in the catalogue's order.

    An unknown CODERAPI_ variable causes an error. An unknown CODER_ variable causes only a warning,
    because a newer release of Coder may support the variable.
    """
    variables = upper_cased(environ)
    gathered = Gathered(ValueSource.ENV)
    # Coder also reads each variable with this prefix, unless the variable itself is set.
    fallbacks = {name.removeprefix("HOMEBREW_"): text for name, text in variables.items()}
    _read_options(CATALOGUE, fallbacks | variables, gathered)
    _read_options(OWN_OPTIONS, environ, gathered)
    for name, nearest in _unknown("CODERAPI_", environ, OWN_OPTIONS):
        gathered.refuse(name, "no such setting", nearest=nearest)
    for name, nearest in _unknown("CODER_", variables, CATALOGUE):
        gathered.warnings.append(unknown_variable(name, nearest))
    return gathered


def upper_cased(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables with upper-case names.

    If two names differ only in case, the last variable is used.
    """
    return {name.upper(): value for name, value in environ.items()}


def unknown_variable(name: str, nearest: str) -> str:
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"{name} is unknown and ignored{hint}"


def _read_options(
    options: tuple[Option, ...], variables: Mapping[str, str], gathered: Gathered
) -> None:
    files = {option.env: variable for variable, option in by_file_variable(options).items()}
    for variable, option in by_env(options).items():
        text, file_variable = variables.get(variable, ""), files.get(variable, "")
        path = variables.get(file_variable, "")
        if text and path:
            problem = f"cannot be set together with {file_variable}; remove one of the two"
            gathered.refuse(variable, problem, option=option.name)
        elif text or (option.empty_counts and variable in variables):
            gathered.add(option, variable, text)
        elif path:
            try:
                gathered.add(option, file_variable, read_secret(path))
            except ValueError as error:
                gathered.refuse(file_variable, str(error), option=option.name)


def _unknown(
    prefix: str, names: Iterable[str], options: Iterable[Option]
) -> Iterator[tuple[str, str]]:
    """Yields each unknown name with this prefix, and the most similar known name or ""."""
    known = {*by_env(options), *by_file_variable(options)}
    for name in names:
        is_foreign = name in _OTHERS or name.startswith(_OTHER_PREFIXES)
        if name.startswith(prefix) and name not in known and not is_foreign:
            yield name, nearest_name(name, known)


# --- Numbered variables, such as CODER_EXTERNAL_AUTH_0_CLIENT_ID -------------------------------


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
        numbers = sorted(numbered)
        if gap := next((n for expected, n in enumerate(numbers) if n != expected), None):
            missing = f"provider {numbers.index(gap)} is missing"
            problem = f"{missing}; number the providers 0, 1, 2 and so on"
            gathered.refuse(f"{prefix}{gap}_*", problem, option=family.option)
        for number in numbers:
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
    # One option has the prefix of a family.
    options = by_env(CATALOGUE)
    for name, text in variables.items():
        if not name.startswith(prefix) or name in options:
            continue
        if found := _NUMBERED.fullmatch(name.removeprefix(prefix)):
            numbered.setdefault(int(found["number"]), {})[found["key"]] = text
        else:
            problem, accepted = "has no provider number", f"{prefix}<n>_<KEY>"
            gathered.refuse(name, problem, option=option, accepted=accepted)
    return numbered


def _provider(
    family: Family, texts: Mapping[str, str], place: str, gathered: Gathered
) -> dict[str, Any]:
    provider = {key: each.type.absent for key, each in family.fields.items()}
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
            except ValueRefusedError as error:
                more = {"shown": presentable(text), "accepted": Bool.accepted}
                gathered.refuse(variable, error.problem, option=family.option, **more)
            except ValueError as error:
                gathered.refuse(variable, str(error), option=family.option)
    return provider
