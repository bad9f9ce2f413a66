from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils import timezone

from csp.advice.refusals import Risk
from csp.triage.gate import MAX_CLIENTS, GateError, Question, ask
from csp.triage.serializers import GateGroupSerializer
from csp.triage.sites import where
from kernel.commands import ListingCommand
from kernel.humanize import plural

# The exit status if an argument is wrong. The exit status 1 means that there are new groups.
WRONG_QUESTION = 2


def number_of_clients(text: str) -> int:
    if len(text) < 12 and text.isascii() and text.isdecimal() and 1 <= int(text) <= MAX_CLIENTS:
        return int(text)
    raise ArgumentTypeError(f"{text[:64]!r} is not a number from 1 to {MAX_CLIENTS:,}")


class Command(ListingCommand):
    help = (
        "Lists the groups of CSP reports that a new version of a site has added and that no "
        "operator has decided about."
    )
    fails_if = "there are any, so that a pipeline can stop an upgrade"
    examples = (
        "--before 2.28.1 --after 2.29.0 --min-clients 3\n"
        "--before 1.4.0 --after 1.5.0-rc.1 --site https://shop.example.com --risk medium --json"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        for name, what in (("--before", "older"), ("--after", "newer")):
            parser.add_argument(name, required=True, metavar="VERSION", help=f"the {what} version")
        parser.add_argument(
            "--site",
            default="",
            metavar="https://…",
            help="only this site; default: all sites that have reported both versions",
        )
        parser.add_argument(
            "--min-clients",
            type=number_of_clients,
            default=1,
            metavar="NUMBER",
            help="only groups that at least this number of clients reported with the newer "
            "version; a client counts once on each day; default: 1",
        )
        parser.add_argument(
            "--risk",
            choices=list(map(str, Risk)),
            default=str(Risk.LOW),
            help="only groups with this risk, or a higher one",
        )
        parser.add_argument(
            "--allow-unseen", action="store_true", help="accept a version that no report has"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, before: str, after: str, risk: str, **options: Any) -> str:
        names = ("site", "min_clients", "allow_unseen")
        more = {name: options[name] for name in names} | {"risk": Risk(risk)}
        try:
            found = ask(Question(before=before, after=after, **more), now=timezone.now())
        except GateError as error:
            raise CommandError(str(error), returncode=WRONG_QUESTION) from None
        for group in found.groups:
            self._show(group)
        if not found.passed:
            raise CommandError(str(found))
        return str(found)

    def _show(self, group: Any) -> None:
        members = GateGroupSerializer(group).data
        page = reverse("admin:csp_group_change", args=[group.pk])
        self.row(
            f"{members['cause']}{where(group)} ({plural(group.clients, 'client')}, "
            f"{plural(group.reports, 'report')}, risk {group.advice.risk})\n"
            f"  {settings.ACCESS_URL.rstrip('/')}{page}",
            **members,
        )
