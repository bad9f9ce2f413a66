from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from audit.models import Entry


class Command(BaseCommand):
    help = "Writes the audit trail to standard output as JSON lines, the oldest entry first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", default="", help="a day or a time, UTC unless it says so")
        parser.add_argument("--until", default="", help="the same; the time itself is left out")
        parser.add_argument("--action", default="", help="only this action, such as api_key.create")

    def handle(self, *args: Any, **options: Any) -> None:
        entries = Entry.objects.all()
        if options["since"]:
            entries = entries.filter(at__gte=_moment("--since", options["since"]))
        if options["until"]:
            entries = entries.filter(at__lt=_moment("--until", options["until"]))
        if options["action"]:
            entries = entries.filter(action=options["action"])
        for line in entries.json_lines():
            self.stdout.write(line.decode(), ending="")


def _moment(flag: str, text: str) -> datetime:
    try:
        found = parse_datetime(text)
        day = None if found else parse_date(text)
    except ValueError:
        found = day = None
    if day is not None:
        found = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if found is None:
        raise CommandError(f"{flag} {text!r} is neither a day nor a moment, such as 2026-01-31.")
    return found if timezone.is_aware(found) else found.replace(tzinfo=UTC)
