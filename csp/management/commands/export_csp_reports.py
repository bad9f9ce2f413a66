from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import orjson

from csp.models import REPORTS
from csp.parsing.formats import as_sent
from kernel.commands import BaseCommand
from kernel.db.paging import stored_pages
from kernel.db.sql import fetch_rows

MILLISECOND = timedelta(milliseconds=1)
# In another release, the table of groups may have no column for the site.
_SITES = "SELECT id::text, to_jsonb(g) ->> 'site' FROM csp_group g WHERE id = ANY(%s::uuid[])"


def line_of(row: dict[str, Any], site: str) -> bytes:
    """Returns the report as a line that `import_csp_reports` reads."""
    body = as_sent(row)
    item = body[0] if isinstance(body, list) else body
    received, occurred = (
        datetime.fromisoformat(row[name]) for name in ("received_at", "occurred_at")
    )
    item |= {"received_at": row["received_at"], "age": (received - occurred) // MILLISECOND}
    if version := row.get("version_name"):
        item["version"] = version
    if site:
        item["site"] = site
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def sites_of(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Returns the site of each group of these reports, by the id of the group."""
    return dict(fetch_rows(_SITES, [list({row["group_id"] for row in rows})]))


class Command(BaseCommand):
    help = (
        "Writes the stored CSP reports to standard output as JSON lines, which import_csp_reports "
        "reads. Also reads the database of another release. States of groups and hashes of clients "
        "are not exported. If only a sample of a group's reports was stored, only the sample is "
        "exported."
    )
    examples = ">reports.jsonl"

    def handle(self, *args: Any, **options: Any) -> None:
        for page in stored_pages(REPORTS.name, key=("id",)):
            sites = sites_of(page)
            for row in page:
                line = line_of(row, sites.get(row["group_id"]) or "")
                self.stdout.write(line.decode(), ending="")
