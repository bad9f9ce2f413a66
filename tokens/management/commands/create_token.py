from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.services import with_partition
from kernel.commands import BaseCommand, UsageError
from tokens import token_format
from tokens.management.arguments import lifetime, scope
from tokens.services import create_api_key
from users.management.arguments import find_user
from users.scopes import ALL


class Command(BaseCommand):
    help = (
        "Creates a session token for a user and prints it. The token cannot be printed again. The "
        "token policy does not apply to this command, so the lifetime has no maximum."
    )
    examples = "--user alice\n--user alice --lifetime 30d --name ci --scope user:read"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="the username or e-mail address")
        parser.add_argument(
            "--lifetime",
            metavar="DURATION",
            type=lifetime,
            help="the lifetime, for example 24h or 7d; default: CODER_DEFAULT_TOKEN_LIFETIME",
        )
        parser.add_argument("--name", help="the token's name; default: a random name")
        parser.add_argument(
            "--scope", type=scope, action="append", help=f"a scope; default: {ALL}; may be repeated"
        )

    def handle(self, *args: Any, **options: Any) -> str:
        name = options["name"]
        if name and (problem := token_format.name_problem(name)):
            raise UsageError(f"--name {name!r}: {problem}")
        wanted: dict[str, Any] = {
            "lifetime_ns": options["lifetime"] or settings.DEFAULT_TOKEN_LIFETIME_NS,
            "token_name": name or token_format.random_name(),
            "scopes": options["scope"] or [ALL],
        }
        user, now = find_user(options["user"]), timezone.now()
        create = partial(create_api_key, user, **wanted, now=now)
        try:
            new = with_partition(transaction.atomic(create), now=now)
        except IntegrityError:
            raise CommandError(f"{user} already has a token named {name!r}.") from None
        return new.token
