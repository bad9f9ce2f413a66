from __future__ import annotations

from deployment.stats.import_command import ImportCommand


class Command(ImportCommand):
    help = "Takes in agent rows from a file of JSON lines. Rows that came before count once."
    kind = "agent"
    things = "agent rows"
