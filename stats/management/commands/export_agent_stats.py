from __future__ import annotations

from typing import Any

import orjson

from kernel.commands import BaseCommand
from kernel.db.paging import stored_pages
from stats.ingest.members import AGENT_MEMBERS, BY_NAME
from stats.models import KIND_COLUMNS, KIND_PREFIX, AgentStat

NAMES = {member.column: member.name for member in AGENT_MEMBERS}


class Command(BaseCommand):
    help = (
        "Writes the stored agent rows to standard output as JSON lines, which import_agent_stats "
        "reads. Also reads the database of another release."
    )
    examples = ">rows.jsonl"

    def handle(self, *args: Any, **options: Any) -> None:
        for page in stored_pages(AgentStat._meta.db_table, key=("created_at", "id")):
            for row in page:
                self.stdout.write(orjson.dumps(_members(row)).decode())


def _members(row: dict[str, Any]) -> dict[str, Any]:
    """Converts a stored row to the form of a report."""
    members = {NAMES[column]: value for column, value in row.items() if column in NAMES}
    if others := row.get("other_sessions"):
        kinds = {name.removeprefix(KIND_PREFIX): members.pop(name) for name in KIND_COLUMNS}
        members[BY_NAME] = {name: count for name, count in (kinds | others).items() if count}
    return members
