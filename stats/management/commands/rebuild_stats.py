from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from kernel.commands import BaseCommand, UsageError, add_moment_argument
from kernel.text.humanize import plural
from stats.rollups.builder import rebuild


class Command(BaseCommand):
    help = "Rebuilds the rollups and the newest row of each agent from the stored agent rows."
    examples = "--since 2026-01-31\n--since 2026-01-31T12:00:00Z"

    def add_arguments(self, parser: CommandParser) -> None:
        add_moment_argument(parser, "--since", "the first minute to rebuild", required=True)

    def handle(self, *, since: datetime, **options: Any) -> str:
        now = timezone.now()
        if since > now:
            raise UsageError(f"--since: {since.isoformat()} must be in the past.")
        minutes, closed = rebuild(since, now=now)
        message = f"{plural(minutes, 'minute')} with rows rebuilt."
        return f"{message} {plural(closed, 'closed hour')} left unchanged." if closed else message
