"""The entry to every command: `coderapi` where it is installed, `manage.py` in a checkout.

Coder's flags and the private database come before settings.
"""

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
            sys.stderr.write(f"{_complaint(str(error))}\n")
            sys.exit(getattr(error, "status", FAILED))
        except (django.db.Error, psycopg.Error) as error:
            why = why_unusable(error)
            if not why or "--traceback" in sys.argv:
                raise
            sys.exit(f"{PROGRAM}: the database cannot be used: {why}")


def _run() -> None:
    arguments = bootstrap.prepare([PROGRAM, *sys.argv[1:]], os.environ)
    if arguments[1:] in (["version"], ["--version"]):
        sys.stdout.write(f"coderapi {__version__}\n")
    elif arguments[1:2] == ["options"]:
        # It must work above all where settings are wrong and would not load.
        load_command_class("coderapi", "options").run_from_argv(arguments)
    else:
        CommandLine(arguments).execute()


class CommandLine(ManagementUtility):
    """Django's entry, whose list of commands begins with this service's."""

    def main_help_text(self, commands_only: bool = False) -> str:
        found, own = get_commands(), {app.partition(".")[0] for app in bootstrap.OWN_APPS}
        ours = sorted(name for name, app in found.items() if app in own)
        if commands_only or not ours:
            return str(super().main_help_text(commands_only))
        hint = f"`{self.prog_name} COMMAND --help` tells each one's arguments, with examples."
        lines = [hint, "", "Commands of coderapi:", ""]
        for name in ours:
            summary = re.split(r"[.;] |\.$", load_command_class(found[name], name).help)[0]
            lines.append(f"  {name:25} {summary}")
        others = ", ".join(sorted(found.keys() - set(ours)))
        return "\n".join([*lines, "", f"Django's own commands: {others}."])


def _complaint(text: str) -> str:
    if "\n" not in text:
        return f"{PROGRAM}: {text}"
    return f"{PROGRAM}: the configuration is refused\n{text}"


if __name__ == "__main__":
    main()
