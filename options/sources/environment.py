from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from options.errors import OptionError, nearest_name
from options.option import Option, ValueSource, by_env, by_file_variable
from options.sources.indexed import FAMILIES
from options.sources.secret_files import read_secret_file
from options.sources.settings import Gathered, Setting

PREFIX = "CODER_"
FALLBACK_PREFIX = "HOMEBREW_"

# An old spelling that only the start looks at.
_REDIRECT = "CODER_TLS_REDIRECT_HTTP"

# These belong to Coder's command line and to workspaces, and may stand in any environment.
_NOT_OURS = frozenset({"CODER_URL", "CODER_SESSION_TOKEN", "CODER_CONFIG_DIR", _REDIRECT})
_NOT_OUR_FAMILIES = ("CODER_AGENT_", "CODER_WORKSPACE_")


def read_environment(environ: Mapping[str, str], *, catalogue: Sequence[Option]) -> Gathered:
    """The settings in the catalogue's order, and warnings about variables that nobody knows."""
    variables = upper_cased(environ)
    files = {option.name: variable for variable, option in by_file_variable(catalogue).items()}
    gathered = Gathered()
    for option in catalogue:
        if option.env:
            _read_option(option, variables, files.get(option.name, ""), gathered=gathered)
    gathered.warnings = list(_unknown(variables, catalogue=catalogue))
    return gathered


def upper_cased(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by upper-case name; of two spellings the later one counts."""
    return {name.upper(): value for name, value in environ.items()}


def lookup(variables: Mapping[str, str], name: str) -> str:
    """The value, empty when it is unset; one that is present but empty hides its fallback."""
    return variables[name] if name in variables else variables.get(FALLBACK_PREFIX + name, "")


def _read_option(
    option: Option, variables: Mapping[str, str], file_variable: str, *, gathered: Gathered
) -> None:
    text = lookup(variables, option.env)
    path = lookup(variables, file_variable) if file_variable else ""
    if text and path:
        problem = f"is set, and so is {file_variable}; keep one of them"
        gathered.errors.append(_error(option, option.env, problem))
    elif text:
        gathered.settings.append(Setting(option, ValueSource.ENV, option.env, text))
    elif path:
        _read_file(option, Path(path), file_variable, gathered=gathered)


def _read_file(option: Option, path: Path, variable: str, *, gathered: Gathered) -> None:
    try:
        text = read_secret_file(path)
    except ValueError as error:
        gathered.errors.append(_error(option, variable, str(error)))
        return
    gathered.settings.append(Setting(option, ValueSource.ENV, variable, text))


def _error(option: Option, place: str, problem: str) -> OptionError:
    return OptionError(problem, place, option=option.name, source=ValueSource.ENV)


def _unknown(variables: Mapping[str, str], *, catalogue: Sequence[Option]) -> Iterable[str]:
    known = {*by_env(catalogue), *by_file_variable(catalogue)}
    for name in variables:
        if name.startswith(PREFIX) and name not in known and not _is_anothers(name):
            yield unknown_variable(name, known)


def unknown_variable(name: str, known: Iterable[str]) -> str:
    nearest = nearest_name(name, known)
    hint = f"; did you mean {nearest}?" if nearest else ""
    return f"{name} is not a variable that this server knows, and is ignored{hint}"


def _is_anothers(name: str) -> bool:
    return name in _NOT_OURS or name.startswith((*_NOT_OUR_FAMILIES, *FAMILIES))
