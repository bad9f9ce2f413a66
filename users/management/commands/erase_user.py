from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand
from kernel.http.errors import APIError
from users import erasure
from users.selectors import user_by_name


class Command(ListingCommand):
    help = "Erases a person and what is held of them; says what is kept, and why."
    examples = "alice --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="the name or the e-mail address")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        user = user_by_name(options["user"])
        if user is None:
            raise CommandError(f"There is no user {options['user']!r}.")
        name = user.username
        try:
            if options["dry_run"]:
                found = erasure.rehearse(user)
            else:
                found = erasure.erase(user, actor=SYSTEM, now=timezone.now())
        except APIError as error:
            raise CommandError(error.message) from None
        for part, rows in found:
            self.row(f"{rows}\t{part.what}\t{part.fate}", what=part.what, rows=rows, fate=part.fate)
        return f"{name} would be erased." if options["dry_run"] else f"{name} has been erased."
