from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from beside.database.check import findings, grants
from kernel.admin import State
from kernel.commands import ListingCommand
from kernel.humanize import plural


def _database() -> str:
    """Returns the name of the database at the URL, or `coder` if the URL is not set."""
    try:
        return str(conninfo_to_dict(settings.CODER_DATABASE_URL).get("dbname", "coder"))
    except ProgrammingError:
        return "coder"


class Command(ListingCommand):
    help = (
        "Checks whether Coder's database at CODERAPI_CODER_DATABASE_URL can be read: the role, the "
        "tables and their columns. Shows how far back its agent rows go."
    )
    examples = "\n--json\n--grant-sql"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--grant-sql",
            action="store_true",
            help="print the SQL statements that create a role with the necessary rights; an "
            "administrator runs them in Coder's database",
        )
        super().add_arguments(parser)

    def handle(self, *, grant_sql: bool, **options: Any) -> str:
        if grant_sql:
            return grants(database=_database())
        found = findings(timezone.now())
        for finding in found:
            self.row(
                f"{finding.state:8} {finding.text}", state=finding.state.value, text=finding.text
            )
        failed = sum(finding.state == State.BAD for finding in found)
        if failed:
            raise CommandError(f"{plural(failed, 'problem')} found.")
        return "Coder's database can be read."
