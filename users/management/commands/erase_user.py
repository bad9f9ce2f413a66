from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand, add_yes_argument, confirm
from users import erasure
from users.management.arguments import find_user


class Command(ListingCommand):
    help = (
        "Erases a user and the data about the user. Lists the data that is erased or kept. Without "
        "--yes, asks for confirmation."
    )
    examples = "alice --dry-run\nalice --yes"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="username or e-mail address")
        parser.add_argument(
            "--dry-run", action="store_true", help="list the data, and change nothing"
        )
        add_yes_argument(parser, "erase the user without asking")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        user = find_user(options["user"])
        name = user.username
        if not (options["dry_run"] or options["yes"]):
            confirm(f"This erases the user {name}, which cannot be undone.")
        now, dry_run = timezone.now(), options["dry_run"]
        found = erasure.erase(user, actor=SYSTEM, now=now, dry_run=dry_run)
        for rule, rows in found:
            line = f"{rows}\t{rule.data}\t{rule.outcome}"
            self.row(line, data=rule.data, rows=rows, outcome=rule.outcome)
        return f"Would erase {name}." if options["dry_run"] else f"Erased {name}."
