from __future__ import annotations

from stats.ingest.importing import ImportCommand, formats
from stats.ingest.ingestion import AGENT
from stats.serializers import AgentRowSerializer


class Command(ImportCommand):
    help = (
        "Imports agent rows, for example from Coder's table workspace_agent_stats. Duplicates "
        "count once, so you can run a stopped import again. Then takes the missing snapshots, one "
        "for each interval of 5 minutes with rows."
    )
    examples = "rows.csv.gz"
    kind = AGENT
    thing = "agent row"
    formats = formats(AGENT, AgentRowSerializer.example)
