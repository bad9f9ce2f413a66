from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from csp.selectors import expired_partitions
from csp.services import prune_reports
from kernel.commands import ListingCommand


class Command(ListingCommand):
    help = (
        "Drops whole days of CSP reports that are past CODERAPI_CSP_RETENTION. "
        "Groups and counts stay."
    )
    examples = "--dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        super().add_arguments(parser)

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> str:
        now = timezone.now()
        names = expired_partitions(now) if dry_run else prune_reports(now)
        for name in names:
            self.row(f"  {name}", partition=name)
        return f"{len(names)} days {'would be' if dry_run else 'were'} dropped."
