from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand, UsageError
from kernel.humanize import plural
from tokens.arguments import FILTERS, add_key_filters, key_line, live_keys
from tokens.serializers import owned_key_object
from tokens.services import expire_keys


class Command(ListingCommand):
    help = "Ends the live keys that the filters choose; they stay in the list. Needs a reason."
    examples = "--unused-for 90d --dry-run\n--user alice --reason 'left the company'"

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_filters(parser)
        parser.add_argument("--all", action="store_true", help="every live key, without a filter")
        parser.add_argument("--reason", default="", help="why; the audit trail keeps it")
        parser.add_argument("--dry-run", action="store_true", help="say which, and end none")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        if not options["all"] and not any(options[name] for name in FILTERS):
            raise UsageError("Name a filter, or --all for every live key.")
        if not (options["dry_run"] or options["reason"]):
            raise UsageError("Say why with --reason.")
        now = timezone.now()
        keys, ended = list(live_keys(options, now=now)), 0
        if not options["dry_run"]:
            # Before the list, whose reader may leave in its midst.
            ended = expire_keys(keys, actor=SYSTEM, now=now, reason=options["reason"])
        for key in keys:
            self.row(key_line(key), **owned_key_object(key))
        if options["dry_run"]:
            return f"{plural(len(keys), 'live key')} would be ended."
        return f"Ended {plural(ended, 'key')}."
