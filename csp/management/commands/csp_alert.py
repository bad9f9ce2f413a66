from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from audit.services import SYSTEM
from csp.alerts.channels import send_test
from csp.alerts.deliveries import alert
from csp.models import AlertChannel
from kernel.commands import BaseCommand
from kernel.outgoing import OutgoingError


class Command(BaseCommand):
    help = (
        "Sends the alerts about violation groups that are due, or a test alert. A new channel is "
        "enabled when its first test alert is accepted."
    )
    examples = "\n--test --channel security"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--test", action="store_true", help="send a test alert now, also to a disabled channel"
        )
        parser.add_argument("--channel", metavar="NAME", help="only test this channel")

    def handle(self, *args: Any, test: bool, channel: str | None, **options: Any) -> str:
        now = timezone.now()
        if not test:
            return f"Sent alerts: {alert(now)}."
        channels = AlertChannel.objects.filter(**({"name": channel} if channel else {}))
        if not channels:
            raise CommandError(
                "No alert channel has this name." if channel else "No channel exists."
            )
        for each in channels:
            try:
                send_test(each, actor=SYSTEM, now=now)
            except (OutgoingError, OSError) as error:
                raise CommandError(f"{each.name}: {error}") from None
        return f"Sent test alerts: {len(channels)}."
