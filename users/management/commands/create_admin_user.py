from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import BaseCommand
from users.management.passwords import NOT_AN_ARGUMENT, read_password
from users.models import User
from users.roles import OWNER
from users.services import create_user


class Command(BaseCommand):
    help = f"Creates an owner. {NOT_AN_ARGUMENT}"
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
        create_user(user, read_password(), actor=SYSTEM, now=timezone.now())
        return f"Created the owner {user}."
