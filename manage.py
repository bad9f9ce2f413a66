#!/usr/bin/env python3
"""The entry to every command. Coder's flags and the private database come before settings."""

from __future__ import annotations

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from coderapi import bootstrap


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coderapi.settings")
    try:
        execute_from_command_line(bootstrap.prepare(sys.argv, os.environ))
    except (bootstrap.StartError, ImproperlyConfigured) as error:
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
