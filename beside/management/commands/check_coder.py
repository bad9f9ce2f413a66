from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from beside.checks.database import grants
from beside.checks.setup import findings
from kernel.admin import State
from kernel.commands import ListingCommand
from kernel.text.humanize import plural


class Command(ListingCommand):
    help = (
        "Checks the setup beside a Coder deployment: Coder at CODERAPI_CODER_URL, its database at "
        "CODERAPI_CODER_DATABASE_URL, the settings of this service, and the proxy in front of "
        "both. Prints what is right, and for everything else the setting or the line of "
        "configuration to change. Shows how far back the agent rows of the database go."
    )
    fails_if = "a check fails"
    # It has no database, so the checks of models would warn of each column.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False
    examples = "\n--proxy-url https://coder.example.com --json\n--grant-sql"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--proxy-url",
            metavar="URL",
            help="the URL of the proxy as browsers use it; default: CODER_ACCESS_URL",
        )
        parser.add_argument(
            "--grant-sql",
            action="store_true",
            help="only print the SQL statements that create a role with the necessary rights; an "
            "administrator runs them in Coder's database",
        )

    def handle(self, *, proxy_url: str | None, grant_sql: bool, **options: Any) -> str | None:
        if grant_sql:
            name = "coder"
            with suppress(ProgrammingError):
                name = str(conninfo_to_dict(settings.CODER_DATABASE_URL).get("dbname") or name)
            return grants(database=name)
        failed = 0
        for each in findings(proxy_url or settings.ACCESS_URL, now=timezone.now()):
            failed += each.state is State.BAD
            fix = f"\n{'':9}fix: {each.fix}" if each.fix else ""
            self.row(f"{each.state:9}{each.check}: {each.message}{fix}", **asdict(each))
        if failed:
            raise CommandError(f"{plural(failed, 'check')} failed.")
        return None
