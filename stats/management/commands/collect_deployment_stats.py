from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from jobs.services import run_job
from kernel.commands import BaseCommand, UsageError, add_moment_argument
from kernel.text.durations import DurationError, parse_duration, to_timedelta
from kernel.text.humanize import plural
from stats.jobs import COLLECT
from stats.models import Snapshot
from stats.selectors import MIN_INTERVAL
from stats.services import FIVE_MINUTES, SnapshotError, backfill, collect_snapshot


def _interval(text: str) -> timedelta:
    try:
        interval = to_timedelta(parse_duration(text))
    except DurationError as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None
    if interval < MIN_INTERVAL:
        raise ArgumentTypeError(f"{text!r} is less than a second")
    return interval


class Command(BaseCommand):
    help = (
        "Takes snapshots of the deployment: one snapshot now, or of a time in the past, or the "
        "missing snapshots of a period in the past. The worker takes one snapshot per interval."
    )
    examples = "\n--at 2026-01-31T12:00:00Z\n--since 2026-01-01 --until 2026-02-01 --every 5m"
    expected = (SnapshotError,)

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        add_moment_argument(
            how,
            "--at",
            "take one snapshot of this time in the past. Sessions, traffic and latency are those "
            "of this time, but workspace states are the current ones",
        )
        add_moment_argument(
            how,
            "--since",
            "take the missing snapshots from this time on, for each interval with agent rows. "
            "Workspaces that reported count as running",
        )
        add_moment_argument(parser, "--until", "the end of --since; default: now")
        parser.add_argument(
            "--every",
            type=_interval,
            metavar="DURATION",
            help="the interval of --since, such as 30s; default: 5m",
        )

    def handle(self, **options: Any) -> str:
        at, since, until, every = (options[name] for name in ("at", "since", "until", "every"))
        if (every or until) and not since:
            raise UsageError("--every and --until can only be used with --since.")
        if since:
            return _backfill(since, until, every=every or FIVE_MINUTES)
        return _described(collect_snapshot(at, now=timezone.now()) if at else _snapshot_now())


def _snapshot_now() -> Snapshot:
    now = timezone.now()
    run = run_job(COLLECT, now)
    if run is None:
        raise CommandError("Another process is taking a snapshot now.")
    if run.failed:
        raise CommandError(f"No snapshot: {run.error}")
    return Snapshot.objects.get(collected_at=now)


def _described(snapshot: Snapshot) -> str:
    return (
        f"Snapshot of {snapshot.collected_at.isoformat()}: {plural(snapshot.row_count, 'row')}, "
        f"{plural(snapshot.running, 'workspace')} running."
    )


def _backfill(since: datetime, until: datetime | None, *, every: timedelta) -> str:
    now = timezone.now()
    if since >= (until or now):
        raise UsageError(f"--since: {since.isoformat()} must be before --until.")
    number = sum(1 for _ in backfill(since, until or now, now=now, every=every))
    return f"{plural(number, 'snapshot')} backfilled."
