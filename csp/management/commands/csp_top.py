from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from csp.models import Group
from csp.selectors import visible_groups


class Command(BaseCommand):
    help = "Lists the findings that reach the most people."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=20, help="How many (20).")
        parser.add_argument("--noise", action="store_true", help="With what noise rules hide.")

    def handle(self, *args: Any, limit: int, noise: bool, **options: Any) -> str:
        groups = Group.objects.all() if noise else visible_groups()
        shown = list(groups[:limit])
        if shown:
            self.stdout.write("clients  pages   reports  what")
        for group in shown:
            self.stdout.write(
                f"{group.client_days:7}  {group.pages:5}  {group.count - group.noise_count:8}  "
                f"{group} on {group.document}"
            )
        return f"{len(shown)} of {groups.count()} findings."
