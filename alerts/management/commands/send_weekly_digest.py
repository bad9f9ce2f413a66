from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from alerts.kinds import WEEKLY_DIGEST, Severity
from alerts.messages import Message
from alerts.models import Channel
from alerts.sending import send_message
from alerts.weekly import WEEK, digest
from kernel.commands import BaseCommand
from kernel.outgoing import OutgoingError


class Command(BaseCommand):
    help = (
        "Sends the digest of the last seven days to a channel now, or prints it with --dry-run. "
        "The job send_alerts sends the digest every Monday to the channels that choose it."
    )
    examples = "--dry-run\n--channel security"

    def add_arguments(self, parser: CommandParser) -> None:
        chosen = parser.add_mutually_exclusive_group(required=True)
        chosen.add_argument("--dry-run", action="store_true", help="print the digest")
        chosen.add_argument("--channel", metavar="NAME", help="send the digest to this channel")

    def handle(self, *args: Any, channel: str | None, **options: Any) -> str:
        now = timezone.now()
        message = Message(
            id=str(uuid.uuid4()),
            type=WEEKLY_DIGEST,
            subject=f"weekly digest: {now - WEEK:%Y-%m-%d} to {now:%Y-%m-%d}",
            severity=Severity.LOW,
            at=now,
            facts=digest(now),
        )
        if channel is None:
            return f"{message.title}\n\n{message.text}"
        receiver = Channel.objects.filter(name=channel).first()
        if receiver is None:
            raise CommandError(f"There is no alert channel {channel!r}.")
        try:
            send_message(receiver, message)
        except OutgoingError as error:
            raise CommandError(f"{channel}: {error}") from None
        return f"Sent the digest to {channel}."
