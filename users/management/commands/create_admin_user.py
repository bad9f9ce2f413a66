from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from coderapi.errors import APIError
from users.roles import OWNER
from users.services import NewUser, create_user


class Command(BaseCommand):
    help = "Creates an owner. The password is asked for, or read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True)
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> str:
        new = NewUser(
            username=options["username"],
            email=options["email"],
            name=options["name"],
            password=read_password(),
            roles=(OWNER,),
        )
        try:
            user = create_user(new, actor=SYSTEM, now=timezone.now())
        except APIError as error:
            raise CommandError(
                "\n".join(f"{problem.field}: {problem.detail}" for problem in error.validations)
            ) from None
        return f"Created the owner {user.username}."


def read_password() -> str:
    """The password, never from the command line, where other users could see it."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Password (again): "):
        raise CommandError("The two passwords differ.")
    return password
