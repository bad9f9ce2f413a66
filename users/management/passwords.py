"""Reads the password of a new user for a command."""

from __future__ import annotations

import sys
from getpass import getpass

from django.core.management.base import CommandError

NOT_AN_ARGUMENT = (
    "Asks for the password, or reads it from the first line of standard input. The password is not "
    "an argument, because other processes on the host can read the arguments of a command."
)


def read_password() -> str:
    """Returns the password. Raises: CommandError if the second entry differs."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if getpass("Password (again): ") != password:
        raise CommandError("The passwords do not match.")
    return password
