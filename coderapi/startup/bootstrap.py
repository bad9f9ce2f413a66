"""Prepares a command before Django's settings are loaded.

Reads the environment file and Coder's flags, and starts the private database.
"""

from __future__ import annotations

import atexit
import gc
import io
import itertools
import re
import secrets
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from coderapi.postgres import Handle, PostgresError, acquire, datadir
from coderapi.startup.addresses import AddressError, Claim, claim_all
from coderapi.startup.exit_status import FAILED, MISUSED, exit_on_signals, ignore_signals
from coderapi.startup.renames import RENAMES, Renames
from kernel.release import IS_CHECKOUT, PROGRAM, ROOT
from kernel.telemetry import DIRECTORY_VARIABLE, shared_directory
from options.configuration import Configuration, ConfigurationError
from options.errors import nearest_name
from options.option import ValueSource
from options.sources.flags import parse_flags
from options.start import load_for_start

type Flags = list[tuple[str, str | None]]

ENV_FILE = "CODERAPI_ENV_FILE"
SECRET_KEY = "CODERAPI_SECRET_KEY"  # noqa: S105 - the variable's name

HELP = frozenset({"-h", "--help"})
# Unknown flags are rejected before argparse runs, because its error would print their values.
DJANGO_FLAGS = frozenset(
    {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback"}
    | {"--no-color", "--force-color"}
)
# The commands that accept Coder's flags, and their other flags.
TAKES_FLAGS = {
    "server": DJANGO_FLAGS | {"--web-only"},
    "worker": DJANGO_FLAGS,
    "options": DJANGO_FLAGS | {"--changed", "--check", "--compare", "--json"},
}
NEEDS_NO_DATABASE = frozenset(
    {"backup", "check_coder", "collectstatic", "diffsettings", "help"}
    | {"makemigrations", "options", "postgres", "restore", "spectacular", "startapp", "test"}
    | {"version"}
)
# Only these commands create a data directory. Other commands fail if it does not exist, because a
# command with a wrong path would otherwise run on a new, empty database.
MAKES_DATA = frozenset({"server", "migrate"})

# Django's commands that write over the service's data. A restored backup fits the schema and the
# secret key, and is tested first.
REFUSED = {
    "flush": "would delete all data without a copy",
    "loaddata": "would write rows that no part of the service has validated",
}
# Django accepts these arguments in place of the name of a command.
DJANGO_ENTRIES = frozenset({"help", "version", "--help", "-h", "--version"})
# Our own apps. They are listed here and not in the settings, because the names of commands are
# looked up in these apps before the settings are loaded.
OWN_APPS = [
    "coderapi.apps.CoderapiConfig",
    "alerts",
    "audit",
    "jobs",
    "users",
    "tokens",
    "deployment",
    "experiments",
    "csp",
    "stats",
    "beside",
]
# Libraries that every command with a database uses, and that need no settings.
LIBRARIES = ("django.core.handlers.wsgi", "django.db.models", "psycopg_pool")
INSTALLED_APPS = [
    "coderapi.apps.ServiceAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    *OWN_APPS,
]

# Coder's flags as pairs of flag and value, in command-line order. The values include secrets.
server_flags: Flags = []
# The addresses that `coderapi server` has reserved.
claims: list[Claim] = []
# The handle of the private database, if this process uses it.
private_database: list[Handle] = []
_until_exit = ExitStack()
atexit.register(_until_exit.close)
# Exit handlers run in reverse order.
atexit.register(ignore_signals)


class StartError(ImproperlyConfigured):
    """The process cannot start. The message contains the cause and the solution."""

    def __init__(self, text: str, *, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status


def prepare(
    argv: Sequence[str], environ: MutableMapping[str, str], *, renames: Renames = RENAMES
) -> list[str]:
    """Parses Coder's flags, reserves the server's addresses, and starts the private database.

    Returns the arguments for Django. Raises: StartError if the command or a flag is unknown, if an
    address is in use, or if the private database fails.
    """
    command = renames.command(argv[1]) if argv[1:] else "help"
    _check_command(command)
    arguments = list(argv[2:])
    try:
        _complete_environment(environ, renames)
        if command in TAKES_FLAGS:
            arguments = _take_flags(command, arguments, environ)
        if _uses_database(command, arguments):
            options = configuration(environ)
            if command == "server":
                # The supervisor enables it again, after it has frozen the loaded objects.
                gc.disable()
                _reserve_addresses(options, environ)
            if not (options["DATABASE_URL"] or options["pg_connection_url"]):
                _open_private_database(environ, make=command in MAKES_DATA)
    except (AddressError, PostgresError) as error:
        raise StartError(str(error)) from error
    return [argv[0], *([command] if argv[1:] else []), *arguments]


def bound_url() -> str:
    """Returns the URL of the address that the server has reserved, or ""."""
    return claims[-1].url if claims else ""


def private_database_url() -> str:
    """Returns the URL of the private database, or "" if this process does not use it."""
    return private_database[0].url if private_database else ""


def known_commands() -> dict[str, Path]:
    """Returns the name and the file of each command. Does not import the commands."""
    known: dict[str, Path] = {}
    for app in ["django.core", *INSTALLED_APPS]:
        package = find_spec(app.partition(".apps.")[0])
        for folder in (package and package.submodule_search_locations) or ():
            files = Path(folder, "management", "commands").glob("[!_]*.py")
            known |= {file.stem: file for file in files}
    return known


def _check_command(command: str) -> None:
    if what := REFUSED.get(command):
        raise StartError(
            f"`{command}` {what}. To replace the data, or to return to an earlier state, use "
            f"`{PROGRAM} restore FILE` with a file of `{PROGRAM} backup`.",
            status=MISUSED,
        )
    known = known_commands().keys() | DJANGO_ENTRIES
    if command not in known:
        nearest = nearest_name(command, known)
        hint = f" Did you mean {nearest}?" if nearest else ""
        problem = f"Unknown command {command!r}.{hint} `{PROGRAM} help` lists all commands."
        raise StartError(problem, status=MISUSED)


def configuration(environ: Mapping[str, str]) -> Configuration:
    """Returns the configuration from the environment and the flags.

    Raises: StartError. Its message has one line for each mistake.
    """
    try:
        return load_for_start(environ, flags=server_flags)
    except ConfigurationError as error:
        raise StartError(str(error), status=status_of(error)) from error


def status_of(error: ConfigurationError) -> int:
    """Returns the exit status: MISUSED if a flag is wrong, otherwise FAILED."""
    return MISUSED if any(each.source is ValueSource.FLAG for each in error.errors) else FAILED


def _complete_environment(environ: MutableMapping[str, str], renames: Renames) -> None:
    """Adds the variables of the environment file, and renames variables with old names."""
    renames.rename_settings(environ)
    if environ.get(ENV_FILE):
        _read_env_file(Path(environ[ENV_FILE]), environ)
        renames.rename_settings(environ)
    elif IS_CHECKOUT and unread_env_file(ROOT / ".env", environ):
        sys.stderr.write(
            f"{PROGRAM}: the file {ROOT / '.env'} is not used. To use it, set {ENV_FILE} to "
            "its path.\n"
        )


def _read_env_file(path: Path, environ: MutableMapping[str, str]) -> None:
    """Adds the variables in the file to the environment. Keeps variables that are already set.

    An error contains only the number of the invalid line, because the line may contain a secret.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{ENV_FILE}: the file {path} cannot be read as text") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line and not re.match(r"#|(export )?[A-Za-z_0-9]+=", line):
            raise StartError(f"{path}:{number}: is neither NAME=value nor a # comment")

    from environ import Env

    Env.ENVIRON = environ
    Env.read_env(io.StringIO(text))


def unread_env_file(path: Path, environ: Mapping[str, str]) -> bool:
    """Returns whether the file sets a variable that is not set in this environment."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    names = re.findall(r"^(?:export )?([A-Za-z_0-9]+)=", text, re.MULTILINE)
    return any(name not in environ for name in names)


def _take_flags(
    command: str, arguments: Sequence[str], environ: MutableMapping[str, str]
) -> list[str]:
    """Parses and stores Coder's flags. Returns the other arguments.

    Raises: StartError if a flag is unknown. It also lists all other values that are not valid.
    """
    parsed = parse_flags(arguments)
    others = itertools.takewhile("--".__ne__, parsed.rest)
    names = [argument.partition("=")[0] for argument in others if argument.startswith("--")]
    unknown = [name for name in names if name not in TAKES_FLAGS[command]]
    server_flags[:] = [*parsed.settings, *((name.removeprefix("--"), None) for name in unknown)]
    if unknown:
        configuration(environ)
    return list(parsed.rest)


def _uses_database(command: str, arguments: Sequence[str]) -> bool:
    return not (
        command in NEEDS_NO_DATABASE
        or command.startswith("-")
        or not HELP.isdisjoint(arguments)
        or ("write-config", "true") in server_flags
    )


def _reserve_addresses(options: Configuration, environ: MutableMapping[str, str]) -> None:
    claims[:] = claim_all(options)
    if options["prometheus.enable"]:
        # prometheus_client reads this variable at its first import.
        directory = _until_exit.enter_context(shared_directory())
        environ[DIRECTORY_VARIABLE] = str(directory)


def _open_private_database(environ: MutableMapping[str, str], *, make: bool) -> None:
    """Starts PostgreSQL in a thread, and meanwhile imports libraries."""
    # One of the exit handlers releases the private database. A signal must run them too.
    exit_on_signals()
    directory = datadir.data_dir(environ)
    with ThreadPoolExecutor(1) as thread:
        opening = thread.submit(acquire, directory, make=make)
        # A signal may end this process before PostgreSQL has started.
        _until_exit.callback(_release, opening)
        for library in LIBRARIES:
            import_module(library)
        handle = opening.result()
    private_database[:] = [handle]
    if not (environ.get(SECRET_KEY) or environ.get(f"{SECRET_KEY}_FILE")):
        new_key = partial(secrets.token_urlsafe, 64)
        datadir.secret(directory, "secret_key", new_key if make else None)
        # The variable contains the path of the file, not the key. So the environments of child
        # processes do not contain the key.
        environ[f"{SECRET_KEY}_FILE"] = str(directory / "secret_key")


def _release(opening: Future[Handle]) -> None:
    if opening.exception() is None:
        opening.result().release()
