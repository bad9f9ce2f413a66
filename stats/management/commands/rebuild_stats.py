from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from kernel.commands import MOMENT, BaseCommand, UsageError, moment
from stats.rollups.builder import rebuild


class Command(BaseCommand):
    help = "Builds rollups and newest rows again from the raw rows that are kept."
    examples = "--since 2026-01-31\n--since 2026-01-31T12:00:00Z"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            type=moment,
            metavar="TIME",
            required=True,
            help=f"from when on: {MOMENT}",
        )

    def handle(self, *, since: datetime, **options: Any) -> str:
        now = timezone.now()
        if since > now:
            raise UsageError(f"--since: {since.isoformat()} is still to come.")
        minutes, closed = rebuild(since, now=now)
        stay = f" {closed} hours are closed and stay as they are." if closed else ""
        return f"{minutes} minutes with rows built again.{stay}"
