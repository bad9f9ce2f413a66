from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from csp.advice.suggestion import Advice
from csp.models import Group
from csp.triage.details import details
from csp.triage.selectors import groups_at, most_urgent
from csp.triage.serializers import AdviceSerializer
from csp.triage.sites import where
from kernel.commands import ListingCommand
from kernel.text.humanize import plural

MAX_GROUPS = 20


class Command(ListingCommand):
    help = (
        "Shows which entry of CODER_ADDITIONAL_CSP_POLICY would allow what browsers blocked, or "
        "why no entry should be added. Without --group, shows the new and regressed groups with "
        "the most client days."
    )
    examples = "\n--group 0b2d7c51-6a3f-4c0e-9f57-2f8a4f6d1c22 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--group", metavar="ID", help="only the group with this id")
        parser.add_argument("--site", metavar="https://…", help="only the groups of this site")
        super().add_arguments(parser)

    def handle(self, *args: Any, group: str | None, site: str | None, **options: Any) -> str:
        now = timezone.now()
        urgent = most_urgent(now, limit=MAX_GROUPS, site=site or "")
        groups = [_group(group)] if group else urgent
        for each in groups:
            self._show(each, details(each, now=now).advice)
        return f"Groups: {len(groups)}."

    def _show(self, group: Group, advice: Advice) -> None:
        tested = plural(advice.tested_reports, "report")
        share = f"{advice.prevented_reports} of {tested} of the last 7 days"
        days = plural(group.client_days, "client day")
        lines = [
            f"{group}{where(group)} ({days}, {plural(group.reports, 'report')})",
            f"  entry: {advice.policy_entry or 'none'}",
            f"  risk: {advice.risk}",
            *(f"  {reason}" for reason in advice.reasons),
            *([f"  The entry would have prevented {share}."] if advice.policy_entry else []),
        ]
        self.row(
            "\n".join(lines),
            group=str(group.pk),
            title=str(group),
            site=group.site,
            **AdviceSerializer(advice).data,
        )


def _group(text: str) -> Group:
    try:
        found: Group | None = groups_at(timezone.now()).filter(pk=uuid.UUID(text)).first()
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"No violation group has the id {text[:64]!r}.")
    return found
