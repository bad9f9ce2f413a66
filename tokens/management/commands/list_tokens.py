from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tokens.arguments import add_key_filters, key_line, live_keys


class Command(BaseCommand):
    help = "Lists live keys of every kind, never their secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_filters(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        keys = list(live_keys(options, now=timezone.now()))
        for key in keys:
            self.stdout.write(key_line(key))
        return f"{len(keys)} live keys."
