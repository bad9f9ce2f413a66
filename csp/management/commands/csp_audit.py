from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError

from csp.scrubbing.leak_search import findings
from kernel.commands import ListingCommand


class Command(ListingCommand):
    help = (
        "Lists where stored CSP reports contain values that look like secrets, without the values. "
        "Fails if there are any."
    )
    examples = "\n--json"

    def handle(self, *args: Any, **options: Any) -> str:
        found = 0
        for table, key, column in findings():
            found += 1
            self.row(f"{table} {key}: {column}", table=table, key=key, column=column)
        if found:
            raise CommandError(
                f"Stored values that look like secrets: {found}. The list does not show the values."
            )
        return "No stored value looks like a secret."
