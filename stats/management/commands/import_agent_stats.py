from __future__ import annotations

from stats.ingest.importing import ImportCommand, formats
from stats.serializers import AgentRowSerializer


class Command(ImportCommand):
    help = (
        "Takes in agent rows, such as Coder's table workspace_agent_stats has them. Rows that came "
        "before count once, so an import that was stopped is run again. Each past interval of 5 "
        "minutes that has rows but no snapshot gets one."
    )
    examples = "rows.csv.gz"
    kind = "agent"
    thing = "agent row"
    formats = formats(AgentRowSerializer)
