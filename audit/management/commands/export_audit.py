from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from audit.models import Entry
from audit.services import ACTIONS
from kernel.commands import BaseCommand, UsageError, add_moment_argument


class Command(BaseCommand):
    help = "Writes the audit trail to standard output as JSON lines, oldest entry first."
    examples = "--since 2026-01-01 --until 2026-02-01\n--action api_key.create"

    def add_arguments(self, parser: CommandParser) -> None:
        add_moment_argument(parser, "--since", "only entries at or after this time")
        add_moment_argument(parser, "--until", "only entries before this time")
        parser.add_argument(
            "--action", default="", help="only entries with this action, for example api_key.create"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        entries = Entry.objects.all()
        if options["since"]:
            entries = entries.filter(at__gte=options["since"])
        if options["until"]:
            entries = entries.filter(at__lt=options["until"])
        if options["action"]:
            entries = entries.filter(action=_known(options["action"]))
        for line in entries.json_lines():
            self.stdout.write(line.decode(), ending="")


def _known(action: str) -> str:
    """Returns the action unchanged.

    Raises: UsageError if neither the code nor any entry contains the action.
    """
    known = ACTIONS.union(Entry.objects.actions())
    if action not in known:
        raise UsageError(
            f"--action {action!r} does not exist. The actions are {', '.join(sorted(known))}."
        )
    return action
