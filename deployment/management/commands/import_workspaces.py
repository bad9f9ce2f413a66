from __future__ import annotations

from deployment.stats.import_command import ImportCommand


class Command(ImportCommand):
    help = "Takes in the states of workspaces from a file of JSON lines; of each the newest counts."
    kind = "workspace"
    things = "workspace states"
