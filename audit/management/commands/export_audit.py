from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from audit.models import Entry
from audit.services import ACTIONS
from kernel.commands import BaseCommand, add_moment_argument


class Command(BaseCommand):
    help = "Writes the audit trail to standard output as JSON lines, oldest entry first."
    examples = "--since 2026-01-01 --until 2026-02-01\n--action api_key.create"

    def add_arguments(self, parser: CommandParser) -> None:
        add_moment_argument(parser, "--since", "only entries at or after this time")
        add_moment_argument(parser, "--until", "only entries before this time")
        about = "only entries with this action, for example api_key.create"
        parser.add_argument("--action", choices=sorted(ACTIONS), metavar="ACTION", help=about)

    def handle(self, *args: Any, since: Any, until: Any, action: Any, **options: Any) -> None:
        wanted = {"created_at__gte": since, "created_at__lt": until, "action": action}
        entries = Entry.objects.filter(**{name: value for name, value in wanted.items() if value})
        for line in entries.json_lines():
            self.stdout.write(line.decode(), ending="")
