from __future__ import annotations

import signal
from argparse import ArgumentTypeError
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from deployment.stats.collecting import collect_in_a_loop
from deployment.stats.jobs import COLLECT
from deployment.stats.models import Snapshot
from deployment.stats.rows import moment
from deployment.stats.selectors import refresh_interval
from deployment.stats.services import SnapshotError, collect_snapshot
from jobs.services import run_job
from kernel.durations import DurationError, parse_duration


def _moment(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _interval(text: str) -> timedelta:
    try:
        nanoseconds = parse_duration(text)
    except DurationError as error:
        raise ArgumentTypeError(f"{text!r} {error}") from None
    if nanoseconds < 1_000_000_000:
        raise ArgumentTypeError(f"{text!r} is less than a second")
    return timedelta(microseconds=nanoseconds // 1000)


class Command(BaseCommand):
    help = "Takes a snapshot of the deployment's figures, once or again and again."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="One snapshot; the default.")
        how.add_argument("--loop", action="store_true", help="One each interval, until SIGTERM.")
        parser.add_argument(
            "--every",
            type=_interval,
            help="The loop's interval, such as 30s; by default that of the server.",
        )
        parser.add_argument(
            "--at",
            type=_moment,
            help="The moment to take it of, such as 2026-01-31T12:00:00Z; taken once. "
            "Workspaces are counted as they are known now.",
        )

    def handle(
        self,
        *,
        loop: bool,
        every: timedelta | None,
        at: datetime | None,
        **options: Any,
    ) -> str:
        if loop and at:
            raise CommandError("--at names one moment, so it does not go with --loop.")
        if every and not loop:
            raise CommandError("--every is the interval of a loop, so it goes with --loop.")
        if loop:
            return _loop(every or refresh_interval())
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


def _loop(every: timedelta) -> str:
    wishes: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: wishes.put(number))
    taken = collect_in_a_loop(lambda seconds: _asked_to_stop(wishes, seconds), every=every)
    return f"{taken} snapshots taken."


def _asked_to_stop(wishes: SimpleQueue[int], seconds: float) -> bool:
    try:
        wishes.get(timeout=seconds)
    except Empty:
        return False
    return True
