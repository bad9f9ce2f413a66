"""Settings from environment variables, and secrets from the files that `<variable>_FILE` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from options.catalogue import CATALOGUE, OWN_OPTIONS
from options.errors import OptionError, nearest_name
from options.option import Option, ValueSource, by_env, by_file_variable
from options.sources.settings import Gathered, Setting

FALLBACK_PREFIX = "HOMEBREW_"

# The numbered variables of external sign-in providers, which `sources.indexed` reads.
FAMILIES = ("CODER_EXTERNAL_AUTH_", "CODER_GITAUTH_")

# An old spelling that only the start looks at.
_REDIRECT = "CODER_TLS_REDIRECT_HTTP"
# These belong to Coder's command line and to workspaces, and may stand in any environment.
_OTHERS = frozenset({"CODER_URL", "CODER_SESSION_TOKEN", "CODER_CONFIG_DIR", _REDIRECT})
_OTHER_FAMILIES = ("CODER_AGENT_", "CODER_WORKSPACE_", *FAMILIES)

# Handed from the supervisor to its children; nobody sets them by hand.
_INTERNAL = frozenset({"CODERAPI_PRIVATE_DATABASE_URL", "CODERAPI_BOUND_URL"})

_MAX_SECRET_BYTES = 1 << 20


def read_environment(environ: Mapping[str, str]) -> Gathered:
    """Returns the settings in the catalogue's order.

    An unknown CODER_ variable is a warning, since Coder may know it; an unknown CODERAPI_ variable
    is an error.
    """
    variables = upper_cased(environ)
    gathered = Gathered()
    for option, file_variable in _with_file_variables(CATALOGUE):
        text = _lookup(variables, option.env)
        path = _lookup(variables, file_variable) if file_variable else ""
        _read_option(option, text, path, file_variable, gathered=gathered)
    for option, file_variable in _with_file_variables(OWN_OPTIONS):
        text, path = environ.get(option.env, ""), environ.get(file_variable, "")
        _read_option(option, text, path, file_variable, gathered=gathered)
    gathered.errors += _unknown_own(environ)
    gathered.warnings += _unknown(variables)
    return gathered


def upper_cased(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by upper-case name; of two spellings the later one counts."""
    return {name.upper(): value for name, value in environ.items()}


def unknown_variable(name: str, nearest: str) -> str:
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"{name} is not a variable that this server knows, and is ignored{hint}"


def read_secret_file(path: Path) -> str:
    """Returns the content without the line break at its end.

    Raises: ValueError, whose text names the file and never quotes its content.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_SECRET_BYTES:
        raise ValueError(f"the file {path} is larger than 1 MiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"the file {path} is empty")
    return text


def _with_file_variables(options: tuple[Option, ...]) -> Iterator[tuple[Option, str]]:
    files = {option.name: variable for variable, option in by_file_variable(options).items()}
    for option in options:
        if option.env:
            yield option, files.get(option.name, "")


def _lookup(variables: Mapping[str, str], name: str) -> str:
    """Returns the value, empty when unset; a variable that is empty hides its fallback."""
    return variables[name] if name in variables else variables.get(FALLBACK_PREFIX + name, "")


def _read_option(
    option: Option, text: str, path: str, file_variable: str, *, gathered: Gathered
) -> None:
    if text and path:
        problem = f"is set, and so is {file_variable}; keep one of them"
        gathered.errors.append(_error(option, option.env, problem))
    elif text:
        gathered.settings.append(Setting(option, ValueSource.ENV, option.env, text))
    elif path:
        try:
            text = read_secret_file(Path(path))
        except ValueError as error:
            gathered.errors.append(_error(option, file_variable, str(error)))
            return
        gathered.settings.append(Setting(option, ValueSource.ENV, file_variable, text))


def _error(option: Option, place: str, problem: str) -> OptionError:
    return OptionError(problem, place, option=option.name, source=ValueSource.ENV)


def _unknown(variables: Mapping[str, str]) -> Iterator[str]:
    known = {*by_env(CATALOGUE), *by_file_variable(CATALOGUE)}
    for name in variables:
        is_anothers = name in _OTHERS or name.startswith(_OTHER_FAMILIES)
        if name.startswith("CODER_") and name not in known and not is_anothers:
            yield unknown_variable(name, nearest_name(name, known))


def _unknown_own(environ: Mapping[str, str]) -> Iterator[OptionError]:
    known = {*by_env(OWN_OPTIONS), *by_file_variable(OWN_OPTIONS)}
    for name in environ:
        if name.startswith("CODERAPI_") and name not in known | _INTERNAL:
            nearest = nearest_name(name, known)
            yield OptionError("no such setting", name, source=ValueSource.ENV, nearest=nearest)
