"""Runs every command: as `coderapi` if installed, or as `manage.py` in a checkout."""

from __future__ import annotations

import os
import re
import sys

import django.db
import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands, load_command_class

from coderapi import __version__, bootstrap
from kernel.commands import FAILED, ending_with_the_reader
from kernel.db.connections import why_unusable
from kernel.release import PROGRAM


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")
    with ending_with_the_reader(PROGRAM):
        try:
            _run()
        except ImproperlyConfigured as error:
            lines = f"the configuration has mistakes\n{error}" if "\n" in str(error) else error
            sys.stderr.write(f"{PROGRAM}: {lines}\n")
            sys.exit(getattr(error, "status", FAILED))
        except (django.db.Error, psycopg.Error) as error:
            reason = why_unusable(error)
            if not reason or "--traceback" in sys.argv:
                raise
            sys.exit(f"{PROGRAM}: the database cannot be used: {reason}")


def _run() -> None:
    arguments = bootstrap.prepare([PROGRAM, *sys.argv[1:]], os.environ)
    if arguments[1:] in (["version"], ["--version"]):
        sys.stdout.write(f"coderapi {__version__}\n")
    elif arguments[1:2] == ["options"]:
        # This command works without Django's settings, because the settings may be invalid.
        load_command_class("coderapi", "options").run_from_argv(arguments)
    else:
        CommandLine(arguments).execute()


class CommandLine(ManagementUtility):
    """Django's command line. Its help lists coderapi's own commands first."""

    def main_help_text(self, commands_only: bool = False) -> str:
        commands = get_commands()
        own_apps = {app.partition(".")[0] for app in bootstrap.OWN_APPS}
        own = sorted(name for name, app in commands.items() if app in own_apps)
        if commands_only or not own:
            return str(super().main_help_text(commands_only))
        hint = f"`{self.prog_name} COMMAND --help` shows a command's arguments, with examples."
        lines = [hint, "", "Commands of coderapi:", ""]
        for name in own:
            summary = re.split(r"[.;] |\.$", load_command_class(commands[name], name).help)[0]
            lines.append(f"  {name:25} {summary}")
        others = ", ".join(sorted(commands.keys() - set(own)))
        return "\n".join([*lines, "", f"Django's own commands: {others}."])


if __name__ == "__main__":
    main()
