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
from kernel.db.connections import is_unavailable
from kernel.release import PROGRAM


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")
    try:
        arguments = bootstrap.prepare([PROGRAM, *sys.argv[1:]], os.environ)
        if arguments[1:] in (["version"], ["--version"]):
            sys.stdout.write(f"coderapi {__version__}\n")
        elif arguments[1:2] == ["options"]:
            # It must work above all where settings are wrong and would not load.
            load_command_class("coderapi", "options").run_from_argv(arguments)
        else:
            execute_from_command_line(arguments)
    except (bootstrap.StartError, ImproperlyConfigured) as error:
        sys.exit(_complaint(str(error)))
    except (django.db.Error, psycopg.Error) as error:
        if not is_unavailable(error):
            raise
        sys.exit(f"{PROGRAM}: the database cannot be used: {str(error).partition('\n')[0]}")


def _complaint(text: str) -> str:
    if "\n" not in text:
        return f"{PROGRAM}: {text}"
    return f"{PROGRAM}: the configuration is refused\n{text}"


if __name__ == "__main__":
    main()
