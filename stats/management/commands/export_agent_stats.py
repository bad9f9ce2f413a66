from __future__ import annotations

from typing import Any

import orjson

from kernel.commands import BaseCommand
from kernel.db.paging import stored_rows
from stats.ingest.rows import AGENT_MEMBERS
from stats.models import AgentStat

NAMES = {member.name for member in AGENT_MEMBERS}


class Command(BaseCommand):
    help = (
        "Writes the stored agent rows to standard output as JSON lines, which import_agent_stats "
        "reads. Also reads the database of another release."
    )
    examples = ">rows.jsonl"

    def handle(self, *args: Any, **options: Any) -> None:
        for row in stored_rows(AgentStat._meta.db_table, key=("created_at", "id")):
            members = {name: value for name, value in row.items() if name in NAMES}
            self.stdout.write(orjson.dumps(members).decode())
