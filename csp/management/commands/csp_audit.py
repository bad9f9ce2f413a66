from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from csp.scrubbing.audit import findings


class Command(BaseCommand):
    help = "Looks through all that is stored of CSP reports for anything that looks like a secret."

    def handle(self, *args: Any, **options: Any) -> str:
        found = 0
        for finding in findings():
            found += 1
            self.stdout.write(f"{finding.table} {finding.key}: {finding.column}")
        if found:
            raise CommandError(f"{found} stored values look like secrets; they are not shown.")
        return "Nothing that is stored looks like a secret."
