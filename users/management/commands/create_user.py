from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand
from users.management.passwords import NOT_AN_ARGUMENT, read_password
from users.models import User
from users.serializers import UserSerializer
from users.services import create_user, roles_named


class Command(ListingCommand):
    help = (
        f"Creates a user. {NOT_AN_ARGUMENT} A service account has no password and cannot sign in. "
        "Use create_token to create its tokens. The user is dormant until the first use."
    )
    examples = (
        "--username alice --email alice@example.com --role auditor\n"
        "--username alice --email alice@example.com <password.txt\n"
        "--username robot --email robot@example.com --service-account --json"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True, help="the username, for signing in")
        parser.add_argument("--email", required=True, help="the e-mail address")
        parser.add_argument("--name", default="", help="the full name")
        parser.add_argument(
            "--role", action="append", default=[], help="a role of the user; may be repeated"
        )
        parser.add_argument(
            "--service-account", action="store_true", help="create a user without a password"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        values = {name: options[name] for name in ("username", "email", "name")}
        user = User(**values, roles=roles_named(options["role"]), status=User.Status.DORMANT)
        password = None if options["service_account"] else read_password()
        create_user(user, password, actor=SYSTEM, now=timezone.now())
        kind = "service account" if options["service_account"] else "user"
        self.row(f"Created the {kind} {user}.", **UserSerializer().to_representation(user))
