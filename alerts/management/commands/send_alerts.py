from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from alerts.channels import send_test
from alerts.models import Channel
from alerts.sending import send_alerts
from audit.services import SYSTEM
from kernel.commands import BaseCommand
from kernel.outgoing import OutgoingError
from kernel.text.humanize import plural


class Command(BaseCommand):
    help = (
        "Sends the alerts that are due, or with --test a test alert. The first test alert that a "
        "new channel accepts enables the channel."
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
            return f"Sent {plural(send_alerts(now), 'message')}."
        channels = Channel.objects.filter(**({"name": channel} if channel else {}))
        if not channels:
            raise CommandError(
                "No alert channel has this name." if channel else "No alert channel exists."
            )
        for each in channels:
            try:
                enabled = send_test(each, actor=SYSTEM, now=now)
            except OutgoingError as error:
                raise CommandError(f"{each.name}: {error}") from None
            state = " The channel is now on." if enabled else ""
            self.stdout.write(f"{each.name} accepted the test alert.{state}")
        return f"Sent {plural(len(channels), 'test alert')}."
