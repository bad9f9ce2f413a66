"""Runs every command: as `coderapi` if installed, or as `bin/coderapi` in a checkout."""

from __future__ import annotations

from coderapi.startup.exit_status import FAILED, ending_with_the_reader, exit_on_signals

# Before the other imports, which take a part of a second.
exit_on_signals()

import sys

from coderapi.startup.neighbors import conflict

# The other imports may find packages of another distribution, so check this before them.
if sys.argv[1:2] in (["server"], ["worker"], ["migrate"]) and (reason := conflict()):
    sys.exit(f"coderapi: {reason}")

import ast
import os
import re
from importlib import import_module
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from coderapi import __version__
from coderapi.startup import bootstrap
from kernel.release import PROGRAM, commit
from options.configuration import ConfigurationError
from options.start import coder_version


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")
    with ending_with_the_reader(PROGRAM):
        try:
            _run()
        except ImproperlyConfigured as error:
            # A failed private PostgreSQL also has several lines: the end of its log.
            mistakes = isinstance(error.__cause__, ConfigurationError) and "\n" in str(error)
            heading = "the configuration has mistakes\n" if mistakes else ""
            sys.stderr.write(f"{PROGRAM}: {heading}{error}\n")
            sys.exit(getattr(error, "status", FAILED))
        except Exception as error:
            from kernel.db.connections import why_unusable

            reason = why_unusable(error)
            if not reason or "--traceback" in sys.argv:
                raise
            sys.exit(f"{PROGRAM}: the database cannot be used: {reason}")


def _run() -> None:
    arguments = bootstrap.prepare([PROGRAM, *sys.argv[1:]], os.environ)
    # These commands work without Django's settings, because the settings may be invalid.
    if arguments[1:] in (["version"], ["--version"]):
        sys.stdout.write(f"{_version()}\n")
    elif arguments[1:] in ([], ["help"], ["--help"], ["-h"]):
        sys.stdout.write(_help())
    elif arguments[1] == "options" or (
        arguments[1] in bootstrap.TAKES_FLAGS and not bootstrap.HELP.isdisjoint(arguments)
    ):
        module = import_module(f"coderapi.management.commands.{arguments[1]}")
        module.Command().run_from_argv(arguments)
    else:
        from django.core.management import ManagementUtility

        ManagementUtility(arguments).execute()


def _version() -> str:
    built = f"commit {commit()}, " if commit() else ""
    return f"coderapi {__version__} ({built}for Coder {coder_version(os.environ)})"


def _help() -> str:
    """Returns the help without importing the commands. Lists coderapi's own commands first."""
    commands = bootstrap.known_commands()
    packages = {app.partition(".")[0] for app in bootstrap.OWN_APPS}
    own = {name: file for name, file in commands.items() if file.parents[2].name in packages}
    hint = f"`{PROGRAM} COMMAND --help` shows a command's arguments, with examples."
    lines = [f"  {name:25} {_summary(own[name])}" for name in sorted(own)]
    others = ", ".join(sorted(commands.keys() - own - bootstrap.REFUSED.keys()))
    header = [hint, "", "Commands of coderapi:", ""]
    return "\n".join([*header, *lines, "", f"Django's own commands: {others}.", ""])


def _summary(file: Path) -> str:
    """Returns the first sentence of the command's help."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "help":
            # The name of the program is the only expression in the first sentence.
            words = [
                str(part.value) if isinstance(part, ast.Constant) else PROGRAM
                for part in ast.walk(node.value)
                if isinstance(part, ast.Constant | ast.FormattedValue)
            ]
            return re.split(r"[.;:] |\.$", "".join(words))[0]
    return ""


if __name__ == "__main__":
    main()
