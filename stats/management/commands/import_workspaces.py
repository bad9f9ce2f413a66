from __future__ import annotations

from stats.ingest.importing import ImportCommand, formats
from stats.serializers import WorkspaceStateSerializer


class Command(ImportCommand):
    help = (
        "Takes in what the newest build of each workspace says. Builds that are older than the one "
        "that is known change nothing, so an import may be run again."
    )
    examples = "workspaces.csv"
    kind = "workspace"
    thing = "workspace state"
    formats = formats(WorkspaceStateSerializer)
