from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from tokens.arguments import FILTERS, add_key_filters, key_line, live_keys
from tokens.services import expire_keys


class Command(BaseCommand):
    help = "Ends the live keys that the filters choose; they stay in the list. Needs a reason."

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_filters(parser)
        parser.add_argument("--all", action="store_true", help="every live key, without a filter")
        parser.add_argument("--reason", default="", help="why; the audit trail keeps it")
        parser.add_argument("--dry-run", action="store_true", help="say which, and end none")

    def handle(self, *args: Any, **options: Any) -> str:
        if not options["all"] and not any(options[name] for name in FILTERS):
            raise CommandError("Name a filter, or --all for every live key.")
        now = timezone.now()
        keys = list(live_keys(options, now=now))
        for key in keys:
            self.stdout.write(key_line(key))
        if options["dry_run"]:
            return f"{len(keys)} live keys would be ended."
        if not options["reason"]:
            raise CommandError("Say why with --reason.")
        ended = expire_keys(keys, actor=SYSTEM, now=now, reason=options["reason"])
        return f"{ended} keys have been ended."
