from __future__ import annotations

import sys
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import BaseCommand
from users.models import User
from users.roles import OWNER
from users.services import create_user


class Command(BaseCommand):
    help = (
        "Creates an owner. Asks for the password, or reads it from the first line of standard "
        "input. The password is not an argument, because other processes on the host can read the "
        "arguments of a command."
    )
    examples = (
        "--username alice --email alice@example.com\n"
        "--username alice --email alice@example.com <password.txt"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True, help="the username, for signing in")
        parser.add_argument("--email", required=True, help="the e-mail address")
        parser.add_argument("--name", default="", help="the full name")

    def handle(self, *args: Any, **options: Any) -> str:
        values = {name: options[name] for name in ("username", "email", "name")}
        user = User(**values, roles=[OWNER])
        create_user(user, _password(), actor=SYSTEM, now=timezone.now())
        return f"Created the owner {user}."


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if getpass("Password (again): ") != password:
        raise CommandError("The passwords do not match.")
    return password
