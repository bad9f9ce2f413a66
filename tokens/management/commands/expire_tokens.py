from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from kernel.commands import ListingCommand, UsageError
from kernel.text.humanize import plural
from tokens.management.arguments import FILTERS, add_key_filters, key_line, live_keys
from tokens.serializers import APIKeyWithOwnerSerializer
from tokens.services import expire_keys


class Command(ListingCommand):
    help = (
        "Expires live tokens and sessions that match all filters, so that they are rejected. Their "
        "rows are not deleted."
    )
    examples = "--unused-for 90d --dry-run\n--user alice --reason 'left the company'"

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_filters(parser)
        parser.add_argument(
            "--all", action="store_true", help="expire all live keys if no filter is given"
        )
        parser.add_argument(
            "--reason", help="the reason, for the audit trail; required without --dry-run"
        )
        parser.add_argument("--dry-run", action="store_true", help="list the keys and expire none")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        if not options["all"] and not any(options[name] for name in FILTERS):
            raise UsageError("Add a filter, or --all for all live keys.")
        if not (options["dry_run"] or options["reason"]):
            raise UsageError("Add a --reason for the audit trail.")
        now = timezone.now()
        keys, expired = list(live_keys(options, now=now)), 0
        if not options["dry_run"]:
            # Expire keys before printing them, because a closed pipe (`| head`) stops the command.
            expired = expire_keys(keys, actor=SYSTEM, now=now, reason=options["reason"])
        for key in keys:
            self.row(key_line(key), **APIKeyWithOwnerSerializer(key).data)
        if options["dry_run"]:
            return f"{plural(len(keys), 'live key')} would be expired."
        return f"Expired {plural(expired, 'key')}."
