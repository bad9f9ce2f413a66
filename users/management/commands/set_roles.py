from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand
from users import services
from users.management.arguments import find_user
from users.roles import MEMBER, ROLE_NAMES


class Command(ListingCommand):
    help = (
        "Replaces the roles of a user. Every user has the role member. To remove all other roles, "
        "set only member."
    )
    examples = "alice auditor user-admin\nalice member"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="username or e-mail address")
        about = f"one of {', '.join(ROLE_NAMES)}"
        parser.add_argument("roles", metavar="ROLE", nargs="+", choices=ROLE_NAMES, help=about)
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["user"])
        before = ", ".join(user.roles) or MEMBER
        changed = services.set_roles(user, options["roles"], actor=SYSTEM, now=timezone.now())
        after = ", ".join(changed.roles) or MEMBER
        line = f"The roles of {changed} are now: {after}. Before: {before}."
        self.row(line, username=changed.username, roles=changed.roles)
