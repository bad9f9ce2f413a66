from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from deployment.stats.refolding import RefoldError, refold
from deployment.stats.rows import moment


def _moment(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


class Command(BaseCommand):
    help = "Makes minute sums, histograms and newest rows anew from the raw rows that are kept."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            type=_moment,
            required=True,
            help="From when on, such as 2026-01-31T12:00:00Z.",
        )

    def handle(self, *, since: datetime, **options: Any) -> str:
        try:
            rows = refold(since, now=timezone.now())
        except RefoldError as error:
            raise CommandError(str(error)) from None
        return f"{rows} rows folded again."
