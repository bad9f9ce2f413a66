from __future__ import annotations

from stats.ingest.importing import ImportCommand


class Command(ImportCommand):
    help = "Takes in states of workspaces from JSON lines or CSV. Of each, the newest counts."
    kind = "workspace"
    things = "workspace states"
