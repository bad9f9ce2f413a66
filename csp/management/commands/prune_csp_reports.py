from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from csp.models import REPORTS, Group
from csp.services import prune_reports
from kernel.commands import ListingCommand
from kernel.humanize import plural


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
            kept = settings.CSP_RETENTION
            partitions = REPORTS.older_than(now - kept) if kept else []
            groups = Group.objects.expired(now).count()
        else:
            partitions, groups = prune_reports(now)
        for name in partitions:
            self.row(f"  {name}", partition=name)
        verb = "Would drop" if dry_run else "Dropped"
        days, empty = plural(len(partitions), "day"), plural(groups, "group")
        return f"{verb} {days} of reports, and {empty} without reports."
