from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils import timezone

from csp.advice.refusals import Risk
from csp.triage.releases.gate import MAX_CLIENT_DAYS, ask
from csp.triage.serializers import GateGroupSerializer
from csp.triage.sites import where
from kernel.commands import ListingCommand, whole_number
from kernel.http.errors import APIError
from kernel.text.humanize import plural

# The exit status if an argument is wrong. The exit status 1 means that there are new groups.
WRONG_QUESTION = 2


class Command(ListingCommand):
    help = (
        "Lists the groups of CSP reports that a new version of a site has added and that no "
        "operator has decided about."
    )
    fails_if = "there are any, so that a pipeline can stop an upgrade"
    examples = (
        "--old-version 2.28.1 --new-version 2.29.0 --min-client-days 3\n"
        "--old-version 1.4.0 --new-version 1.5.0-rc.1 --site https://shop.example.com "
        "--min-risk-if-allowed medium --json"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        for name, what in (("--old-version", "older"), ("--new-version", "newer")):
            parser.add_argument(name, required=True, metavar="VERSION", help=f"the {what} version")
        parser.add_argument(
            "--site",
            default="",
            metavar="https://…",
            help="only this site; default: all sites that have reported both versions",
        )
        parser.add_argument(
            "--min-client-days",
            type=partial(whole_number, limit=MAX_CLIENT_DAYS),
            default=1,
            metavar="NUMBER",
            help="only groups with at least this number of client days with the newer version: "
            "a client counts once on each day; default: 1",
        )
        parser.add_argument(
            "--min-risk-if-allowed",
            choices=list(map(str, Risk)),
            default=str(Risk.LOW),
            help="only groups whose source has this risk if it is allowed, or a higher one",
        )
        parser.add_argument(
            "--allow-unseen", action="store_true", help="accept a version that no report has"
        )
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> str:
        names = (
            *("old_version", "new_version", "site"),
            *("min_client_days", "min_risk_if_allowed", "allow_unseen"),
        )
        try:
            found = ask(**{name: options[name] for name in names}, now=timezone.now())
        except APIError as error:
            problems = (
                f"--{each.field.replace('_', '-')}: {each.detail}" for each in error.validations
            )
            raise CommandError(" ".join(problems), returncode=WRONG_QUESTION) from None
        for group in found.groups:
            self._show(group)
        if not found.passed:
            raise CommandError(str(found))
        return str(found)

    def _show(self, group: Any) -> None:
        members = GateGroupSerializer(group).data
        page = reverse("admin:csp_group_change", args=[group.pk])
        days = plural(group.client_days_new_version, "client day")
        self.row(
            f"{members['title']}{where(group)} ({days}, {plural(group.reports, 'report')}, "
            f"risk {group.advice.risk})\n"
            f"  {settings.ACCESS_URL.rstrip('/')}{page}",
            **members,
        )
