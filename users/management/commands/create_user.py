from __future__ import annotations

import sys
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand
from users.models import User
from users.roles import ROLE_NAMES
from users.serializers import UserSerializer
from users.services import create_user, roles_named


class Command(ListingCommand):
    help = (
        "Creates a user. Asks for the password, or reads it from the first line of standard input. "
        "The password is not an argument, because other processes on the host can read the "
        "arguments of a command. A service account has no password and cannot sign in. Use "
        "create_token to create its tokens. The user is dormant until the first use."
    )
    examples = (
        "--username alice --email alice@example.com --role owner\n"
        "--username alice --email alice@example.com <password.txt\n"
        "--username robot --email robot@example.com --service-account --json"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True, help="the username, for signing in")
        parser.add_argument("--email", required=True, help="the e-mail address")
        parser.add_argument("--name", default="", help="the full name")
        parser.add_argument(
            "--role",
            action="append",
            default=[],
            choices=ROLE_NAMES,
            metavar="ROLE",
            help=f"one of {', '.join(ROLE_NAMES)}; may be repeated",
        )
        parser.add_argument(
            "--service-account", action="store_true", help="create a user without a password"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        values = {name: options[name] for name in ("username", "email", "name")}
        user = User(**values, roles=roles_named(options["role"]), status=User.Status.DORMANT)
        password = None if options["service_account"] else _read_password()
        create_user(user, password, actor=SYSTEM, now=timezone.now())
        kind = "service account" if options["service_account"] else "user"
        self.row(f"Created the {kind} {user}.", **UserSerializer().to_representation(user))


def _read_password() -> str:
    """Returns the password. Raises: CommandError if the second entry differs."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass("Password: ")
    if getpass("Password (again): ") != password:
        raise CommandError("The passwords do not match.")
    return password
