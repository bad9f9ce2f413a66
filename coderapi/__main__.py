"""The entry to every command: `coderapi` where it is installed, `manage.py` in a checkout.

Coder's flags and the private database come before settings.
"""

from __future__ import annotations

import os
import sys

import django.db
import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line, load_command_class

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
        execute_from_command_line(arguments)


def _complaint(text: str) -> str:
    if "\n" not in text:
        return f"{PROGRAM}: {text}"
    return f"{PROGRAM}: the configuration is refused\n{text}"


if __name__ == "__main__":
    main()
