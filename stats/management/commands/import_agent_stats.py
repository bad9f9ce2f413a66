from __future__ import annotations

from stats.ingest.importing import ImportCommand


class Command(ImportCommand):
    help = (
        "Takes in agent rows from a file of JSON lines or CSV. Rows that came before count once, "
        "so an import that was stopped is run again. Of hours that are over, each 5 minutes "
        "without a snapshot gets one."
    )
    kind = "agent"
    things = "agent rows"
