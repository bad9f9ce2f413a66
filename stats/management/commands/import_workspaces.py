from __future__ import annotations

from stats.ingest.importing import ImportCommand, formats
from stats.ingest.ingestion import WORKSPACE
from stats.serializers import WorkspaceStateSerializer


class Command(ImportCommand):
    help = (
        "Imports the newest build of each workspace. A build older than the stored one changes "
        "nothing, so you can run an import again."
    )
    examples = "workspaces.csv"
    kind = WORKSPACE
    thing = "workspace state"
    formats = formats(WORKSPACE, WorkspaceStateSerializer.example)
