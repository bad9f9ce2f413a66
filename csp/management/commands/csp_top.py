from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from csp.models import Group
from csp.selectors import visible_groups
from csp.writing.reach import shown

MAX_LIMIT = 100_000


def how_many(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_LIMIT:
        raise ArgumentTypeError(f"{text} is not from 1 to {MAX_LIMIT:,}")
    return number


class Command(BaseCommand):
    help = "Lists the findings that reach the most people."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=how_many, default=20, help="How many (20).")
        parser.add_argument("--noise", action="store_true", help="With what noise rules hide.")

    def handle(self, *args: Any, limit: int, noise: bool, **options: Any) -> str:
        groups = Group.objects.all() if noise else visible_groups()
        listed = list(groups[:limit])
        if listed:
            self.stdout.write("    clients       pages   reports  what")
        for group in listed:
            self.stdout.write(
                f"{shown(group.client_days):>11} {shown(group.pages):>11} "
                f"{group.visible_count:9,}  "
                f"{group} on {group.document}"
            )
        return f"{len(listed)} of {groups.count()} findings."
