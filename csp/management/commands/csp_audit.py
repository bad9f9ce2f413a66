from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from csp.scrubbing.audit import findings
from kernel.commands import ListingCommand


class Command(ListingCommand):
    help = (
        "Lists where stored CSP reports contain values that look like secrets, without the values. "
        "Fails if there are any."
    )
    examples = "\n--json"

    def handle(self, *args: Any, **options: Any) -> str:
        found = 0
        for finding in findings():
            found += 1
            self.row(f"{finding.table} {finding.key}: {finding.column}", **asdict(finding))
        if found:
            raise CommandError(
                f"{found} stored values look like secrets. The list does not show the values."
            )
        return "No stored value looks like a secret."
