from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from kernel.commands import ListingCommand
from kernel.text.humanize import plural
from tokens.management.arguments import add_key_filters, key_line, live_keys
from tokens.serializers import APIKeyWithOwnerSerializer


class Command(ListingCommand):
    help = "Lists live tokens and sessions, without their secrets."
    examples = "--user alice\n--kind token --lifetime-over 90d --json"

    def add_arguments(self, parser: CommandParser) -> None:
        add_key_filters(parser)
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        keys = list(live_keys(options, now=timezone.now()))
        for key in keys:
            self.row(key_line(key), **APIKeyWithOwnerSerializer(key).data)
        return f"{plural(len(keys), 'live key')}."
