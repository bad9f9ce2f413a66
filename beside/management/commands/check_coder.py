from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone

from beside.checks.findings import FindingsCommand
from beside.checks.setup import findings


class Command(FindingsCommand):
    help = (
        "Checks the Coder deployment at CODERAPI_CODER_URL, the settings of this service, and the "
        "proxy in front of both. Prints what is right, and for everything else the setting or the "
        "line of configuration to change."
    )
    examples = "\n--proxy-url https://coder.example.com --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--proxy-url",
            metavar="URL",
            help="the URL of the proxy as browsers use it; default: CODER_ACCESS_URL",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.show(findings(options["proxy_url"] or settings.ACCESS_URL, now=timezone.now()))
