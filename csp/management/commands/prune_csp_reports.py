from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from csp.models import Group
from csp.selectors import expired_partitions
from csp.services import Pruned, prune_reports
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
        if dry_run:
            pruned = Pruned(expired_partitions(now), Group.objects.expired(now).count())
        else:
            pruned = prune_reports(now)
        for name in pruned.partitions:
            self.row(f"  {name}", partition=name)
        verb = "would be" if dry_run else "were"
        return (
            f"{len(pruned.partitions)} days {verb} dropped, and {pruned.groups} groups without a "
            f"report {verb} deleted."
        )
