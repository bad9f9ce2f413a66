from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from audit.services import SYSTEM
from csp.models import IngestKey
from csp.services import retire_ingest_key
from kernel.commands import BaseCommand, add_moment_argument


class Command(BaseCommand):
    help = (
        "Retires an ingest key, now or at a given time. From that time on, reports with this key "
        "get a 410 response, and browsers stop sending reports."
    )
    examples = "staging\nstaging --at 2026-12-31"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="KEY|NAME", help="the key or its name")
        add_moment_argument(parser, "--at", "the time when the key is retired; default: now")

    def handle(self, *args: Any, key: str, at: datetime | None, **options: Any) -> str:
        found = IngestKey.objects.filter(Q(value=key) | Q(name=key)).first()
        if found is None:
            raise CommandError(f"There is no ingest key with the name or the key {key!r}.")
        now = timezone.now()
        try:
            retire_ingest_key(found, at=at or now, actor=SYSTEM, now=now)
        except ValueError as error:
            raise CommandError(str(error)) from None
        return (
            f"The ingest key {found.name!r} is retired from {found.retired_at:%Y-%m-%d %H:%M} UTC."
        )
