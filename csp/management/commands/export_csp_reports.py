from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from csp.models import REPORTS
from csp.parsing.formats import as_sent
from kernel.commands import BaseCommand
from kernel.db.paging import stored_rows

MILLISECOND = timedelta(milliseconds=1)


def line_of(row: dict[str, Any]) -> bytes:
    """Returns the report as a line that `import_csp_reports` reads."""
    body = as_sent(row)
    item = body[0] if isinstance(body, list) else body
    received, occurred = (
        datetime.fromisoformat(row[name]) for name in ("received_at", "occurred_at")
    )
    item |= {"received_at": row["received_at"], "age": (received - occurred) // MILLISECOND}
    if version := row.get("coder_version"):
        item["coder_version"] = version
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


class Command(BaseCommand):
    help = (
        "Writes the stored CSP reports to standard output as JSON lines, which import_csp_reports "
        "reads. Also reads the database of another release. States of groups and hashes of clients "
        "are not exported. If only a sample of a group's reports was stored, only the sample is "
        "exported."
    )
    examples = ">reports.jsonl"

    def handle(self, *args: Any, **options: Any) -> None:
        for row in stored_rows(REPORTS.name, key=("id",)):
            self.stdout.write(line_of(row).decode(), ending="")
