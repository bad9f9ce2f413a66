from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from csp.models import WINDOW_DAYS
from csp.triage.releases.versions import mark_new
from csp.triage.selectors import groups_at
from csp.triage.serializers import GroupSerializer
from csp.triage.sites import where
from csp.writing.distinct import humanized
from kernel.commands import ListingCommand, whole_number
from kernel.text.humanize import plural

MAX_LIMIT = 100_000


class Command(ListingCommand):
    help = "Lists the groups of CSP reports with the most client days."
    examples = "--limit 5\n--include-noise --json"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--limit",
            type=partial(whole_number, limit=MAX_LIMIT),
            default=20,
            metavar="NUMBER",
            help="the number of groups to list; default: 20",
        )
        parser.add_argument("--site", metavar="https://…", help="only the groups of this site")
        parser.add_argument(
            "--include-noise",
            action="store_true",
            help="include the groups that noise rules hide",
        )
        super().add_arguments(parser)

    def handle(
        self, *args: Any, limit: int, include_noise: bool, site: str | None, **options: Any
    ) -> str:
        groups = groups_at(timezone.now()).of_site(site or "")
        groups = groups if include_noise else groups.visible()
        listed = mark_new(list(groups[:limit]))
        if listed:
            self.stdout.write(f"Numbers of the last {WINDOW_DAYS} days:")
            self.stdout.write("client days       pages   reports  state         group")
        for group in listed:
            self.row(
                f"{humanized(group.client_days):>11} {humanized(group.pages):>11} "
                f"{group.reports:9,}  {group.current:<12}  {group}{where(group)}",
                **GroupSerializer(group).data,
            )
        return f"{len(listed)} of {plural(groups.count(), 'group')}."
