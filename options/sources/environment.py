"""Reads settings from environment variables, and secrets from the files in `<variable>_FILE`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from options.catalogue import CATALOGUE, OWN_OPTIONS
from options.errors import nearest_name
from options.option import Option, ValueSource, by_env, by_file_variable
from options.sources.settings import Gathered, read_secret

FALLBACK_PREFIX = "HOMEBREW_"

# The current and the old prefix of numbered variables, which `sources.indexed` reads: of external
# auth providers, and of providers of the AI gateway.
AUTH_FAMILIES = ("CODER_EXTERNAL_AUTH_", "CODER_GITAUTH_")
AI_FAMILIES = ("CODER_AI_GATEWAY_PROVIDER_", "CODER_AIBRIDGE_PROVIDER_")

# Variables that are not options, and that cause neither an error nor a warning.
_OTHERS = frozenset(
    {
        # Coder's command line reads these variables.
        *("CODER_URL", "CODER_SESSION_TOKEN", "CODER_CONFIG_DIR"),
        # This variable has an old name. Only the module `configuration` reads it.
        "CODER_TLS_REDIRECT_HTTP",
        # The supervisor sets these variables for its children.
        *("CODERAPI_PRIVATE_DATABASE_URL", "CODERAPI_BOUND_URL"),
    }
)
_OTHER_FAMILIES = ("CODER_AGENT_", "CODER_WORKSPACE_", *AUTH_FAMILIES, *AI_FAMILIES)


def read_environment(environ: Mapping[str, str]) -> Gathered:
    """Returns the settings from the environment, in the catalogue's order.

    An unknown CODERAPI_ variable causes an error. An unknown CODER_ variable causes only a warning,
    because a newer release of Coder may support the variable.
    """
    variables = upper_cased(environ)
    gathered = Gathered(ValueSource.ENV)
    _read_options(CATALOGUE, _with_fallbacks(variables), gathered)
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


def _with_fallbacks(variables: dict[str, str]) -> dict[str, str]:
    """Adds each HOMEBREW_ variable without its prefix, unless that variable is set."""
    prefixed = (name for name in variables if name.startswith(FALLBACK_PREFIX))
    return {name.removeprefix(FALLBACK_PREFIX): variables[name] for name in prefixed} | variables


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
        is_foreign = name in _OTHERS or name.startswith(_OTHER_FAMILIES)
        if name.startswith(prefix) and name not in known and not is_foreign:
            yield name, nearest_name(name, known)
