from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from jobs.services import run_job
from jobs.worker import keep_running
from kernel.commands import MOMENT, BaseCommand, UsageError, moment
from kernel.durations import DurationError, parse_duration, to_timedelta, whole_seconds
from kernel.loops import run_until_signalled
from stats.jobs import COLLECT
from stats.models import Snapshot
from stats.selectors import refresh_interval
from stats.services import FIVE_MINUTES, SnapshotError, backfill, collect_snapshot


def _interval(text: str) -> timedelta:
    try:
        nanoseconds = parse_duration(text)
    except DurationError as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None
    if whole_seconds(nanoseconds) < 1:
        raise ArgumentTypeError(f"{text!r} is less than a second")
    return to_timedelta(nanoseconds)


class Command(BaseCommand):
    help = "Takes a snapshot of the deployment's figures: once, again and again, or of the past."
    examples = (
        "\n--loop --every 30s\n--at 2026-01-31T12:00:00Z\n"
        "--since 2026-01-01 --until 2026-02-01 --every 5m"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="one snapshot; the default")
        how.add_argument("--loop", action="store_true", help="one each interval, until SIGTERM")
        how.add_argument(
            "--at",
            type=moment,
            metavar="TIME",
            help="the moment to take it of; workspaces are counted as they are known now. It is "
            f"{MOMENT}",
        )
        how.add_argument(
            "--since",
            type=moment,
            metavar="TIME",
            help="take a snapshot for each interval from then on that has none, as far as raw "
            f"rows are kept: {MOMENT}. Workspaces that reported count as running",
        )
        parser.add_argument(
            "--until",
            type=moment,
            metavar="TIME",
            help=f"the end of --since: {MOMENT}; now by default",
        )
        parser.add_argument(
            "--every",
            type=_interval,
            metavar="DURATION",
            help="the interval, such as 30s; by default of --loop the server's, of --since 5m",
        )

    def handle(self, *, loop: bool, **options: Any) -> str:
        at, since, until, every = (options[name] for name in ("at", "since", "until", "every"))
        if every and not (loop or since):
            raise UsageError("--every is an interval, so it goes with --loop or --since.")
        if until and not since:
            raise UsageError("--until is the end of --since, so it goes with that.")
        if loop:
            return _loop(every or refresh_interval())
        if since:
            return _backfill(since, until, every=every or FIVE_MINUTES)
        return _described(_at(at) if at else _once())


def _at(at: datetime) -> Snapshot:
    try:
        return collect_snapshot(at, now=timezone.now())
    except SnapshotError as error:
        raise CommandError(str(error)) from None


def _once() -> Snapshot:
    now = timezone.now()
    run = run_job(COLLECT, now)
    if run is None:
        raise CommandError("Another process is taking a snapshot right now.")
    if run.failed:
        raise CommandError(f"No snapshot: {run.error}")
    return Snapshot.objects.get(collected_at=now)


def _described(snapshot: Snapshot) -> str:
    return (
        f"Snapshot of {snapshot.collected_at.isoformat()}: {snapshot.row_count} rows, "
        f"{snapshot.running} workspaces running."
    )


def _backfill(since: datetime, until: datetime | None, *, every: timedelta) -> str:
    now = timezone.now()
    if since >= (until or now):
        raise UsageError(f"--since: {since.isoformat()} is not before --until.")
    taken = sum(1 for _ in backfill(since, until or now, now=now, every=every))
    return f"{taken} snapshots of the past were taken."


def _loop(every: timedelta) -> str:
    taken = 0

    def loop(stop: Event) -> None:
        nonlocal taken
        taken = keep_running(replace(COLLECT, every=every), stop=stop)

    run_until_signalled(loop)
    return f"{taken} snapshots taken."
