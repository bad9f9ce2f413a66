from __future__ import annotations

from stats.ingest.importing import ImportCommand, formats
from stats.serializers import AgentRowSerializer


class Command(ImportCommand):
    help = (
        "Imports agent rows, such as those of Coder's table workspace_agent_stats. Duplicates "
        "count once, so you can run a stopped import again. Each past interval of 5 minutes that "
        "has rows but no snapshot gets one."
    )
    examples = "rows.csv.gz"
    kind = "agent"
    thing = "agent row"
    formats = formats(AgentRowSerializer)
