from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from csp.services import prune_reports, to_prune
from kernel.commands import ListingCommand


class Command(ListingCommand):
    help = (
        "Deletes the CSP reports of days that are older than CODERAPI_CSP_RETENTION. Also deletes "
        "the groups that have no newer report."
    )
    examples = "--dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only list what would be deleted"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> str:
        now = timezone.now()
        pruned = to_prune(now) if dry_run else prune_reports(now)
        for name in pruned.partitions:
            self.row(f"  {name}", partition=name)
        return f"{'Would delete' if dry_run else 'Deleted'} {pruned}."
