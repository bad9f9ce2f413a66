from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from tqdm import tqdm

from beside.database.connection import CoderDatabaseError, reading
from beside.database.history import StateCounts, import_rows, read_builds
from beside.database.rows import Tally
from kernel.commands import BaseCommand
from kernel.text.humanize import plural
from stats.services import backfill, backfill_counts


class Command(BaseCommand):
    help = (
        "Imports the history from Coder's database at CODERAPI_CODER_DATABASE_URL: all agent rows "
        "that it still has, and the number of running, stopped and failed workspaces since the "
        "first build. Keeps existing snapshots. If it is stopped, run it again. It can run while "
        "the server runs."
    )
    examples = "\n"

    def handle(self, **options: Any) -> str:
        tally = Tally(timezone.now())
        try:
            with reading() as reader:
                oldest, unknown = None, 0
                if settings.STATS_USAGE_ENABLED:
                    oldest, unknown = import_rows(reader, tally)
                counts = read_builds(reader)
            first = counts.finish()
            snapshots = _snapshots(oldest, first, counts)
        except (CoderDatabaseError, KeyboardInterrupt) as error:
            reason = str(error) or "Stopped."
            again = " Run the command again to continue." if tally.stored else ""
            raise CommandError(f"{reason}{again}") from None
        parts = [
            f"{plural(tally.stored, 'agent row')} imported, "
            f"{plural(tally.duplicates, 'duplicate')}; {_since('rows', oldest)}.",
            f"Coder does not have the sessions of {plural(unknown, 'agent row')} any more."
            if unknown
            else "",
            f"{plural(counts.workspaces, 'workspace')} with builds; {_since('builds', first)}.",
            tally.problem,
            *(
                f"{plural(number, 'build')} skipped: transition {transition!r} is unknown."
                for transition, number in counts.unknown.items()
            ),
            f"{plural(snapshots, 'snapshot')} backfilled.",
        ]
        return " ".join(filter(None, parts))


def _since(things: str, oldest: datetime | None) -> str:
    return f"Coder has {things} since {oldest:%Y-%m-%d %H:%M} UTC" if oldest else f"no {things}"


def _snapshots(oldest: datetime | None, first: datetime | None, counts: StateCounts) -> int:
    """Creates missing snapshots where there are agent rows or builds. Returns their number."""
    now, number = timezone.now(), 0
    if oldest:
        taken = backfill(oldest, now, now=now, counts_at=counts.at)
        number += sum(1 for _ in tqdm(taken, desc="snapshots", unit="", disable=None))
    if first:
        number += sum(backfill_counts(first, now, now=now, counts_at=counts.at))
    return number
