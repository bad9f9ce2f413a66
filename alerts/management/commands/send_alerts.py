from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from alerts.channels import send_test
from alerts.models import Channel
from alerts.sending import digest_message, send_alerts, send_message
from audit.services import SYSTEM
from kernel.commands import BaseCommand
from kernel.outgoing import OutgoingError
from kernel.text.humanize import plural


class Command(BaseCommand):
    help = (
        "Sends the alerts that are due, with --test a test alert, or with --weekly-digest the "
        "digest of the last seven days. The first test alert that a new channel accepts enables "
        "the channel."
    )
    examples = "\n--test --channel security\n--weekly-digest\n--weekly-digest --channel security"

    def add_arguments(self, parser: CommandParser) -> None:
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument(
            "--test", action="store_true", help="send a test alert now, also to a disabled channel"
        )
        chosen.add_argument(
            "--weekly-digest",
            action="store_true",
            help="print the digest, or send it to --channel. Channels that choose it get it every "
            "Monday from the job send_alerts",
        )
        parser.add_argument("--channel", metavar="NAME", help="only this channel")

    def handle(
        self, *args: Any, test: bool, weekly_digest: bool, channel: str | None, **options: Any
    ) -> str:
        now = timezone.now()
        if weekly_digest and channel is None:
            message = digest_message(now)
            return f"{message.title}\n\n{message.text}"
        if not (test or weekly_digest):
            return f"Sent {plural(send_alerts(now), 'message')}."
        channels = Channel.objects.filter(**({"name": channel} if channel else {}))
        if not channels:
            raise CommandError(
                f"There is no alert channel {channel!r}." if channel else "No alert channel exists."
            )
        for each in channels:
            try:
                if weekly_digest:
                    send_message(each, digest_message(now))
                    return f"Sent the digest to {each.name}."
                enabled = send_test(each, actor=SYSTEM, now=now)
            except OutgoingError as error:
                raise CommandError(f"{each.name}: {error}") from None
            state = " The channel is now on." if enabled else ""
            self.stdout.write(f"{each.name} accepted the test alert.{state}")
        return f"Sent {plural(len(channels), 'test alert')}."
