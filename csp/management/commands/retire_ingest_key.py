from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from audit.services import SYSTEM
from csp.models import IngestKey
from csp.services import retire_ingest_key


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ArgumentTypeError(f"{text!r} has no time zone; 2026-12-01T00:00Z has one")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"{text!r} is not a time: {error}") from None


class Command(BaseCommand):
    help = (
        "Retires an ingest key, now or later: from then on it is answered with 410, which tells "
        "browsers to stop."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", metavar="KEY|NAME", help="The key itself, or its name.")
        parser.add_argument(
            "--at", type=_moment, metavar="TIME", help="When, with time zone; now by default."
        )

    def handle(self, *args: Any, key: str, at: datetime | None, **options: Any) -> str:
        found = IngestKey.objects.filter(Q(key=key) | Q(name=key)).first()
        if found is None:
            raise CommandError(f"There is no ingest key {key!r}.")
        now = timezone.now()
        try:
            retire_ingest_key(found, at=at or now, actor=SYSTEM, now=now)
        except ValueError as error:
            raise CommandError(str(error)) from None
        return f"The ingest key {found.name!r} is retired from {at or now:%Y-%m-%d %H:%M} UTC on."
