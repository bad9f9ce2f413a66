from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from beside.checks.database import findings, grants
from beside.checks.findings import FindingsCommand


class Command(FindingsCommand):
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
            name = "coder"
            with suppress(ProgrammingError):
                name = str(conninfo_to_dict(settings.CODER_DATABASE_URL).get("dbname") or name)
            return grants(database=name)
        self.show(findings(timezone.now()))
        return "Coder's database can be read."
