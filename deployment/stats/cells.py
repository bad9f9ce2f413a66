"""Cells of history: what happened within one span of time, in a form that can be added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models.functions import TruncMinute

from deployment.stats import percentiles
from deployment.stats.models import LatencyBucket, MinuteSum, Snapshot

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STATES = ("pending", "building", "running", "failed", "stopped")


@dataclass(frozen=True, slots=True)
class Newest:
    """What the newest snapshot of a span says of workspaces, sessions and the server."""

    collected_at: datetime
    workspaces: Mapping[str, int]
    session_counts: Mapping[str, int]
    build_version: str = ""
    configuration_hash: str = ""


@dataclass(slots=True)
class Cell:
    """Rows that fell into [start, start + span), and the newest snapshot in it; None is a gap."""

    start: datetime
    row_count: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    histogram: dict[int, int] = field(default_factory=dict)
    newest: Newest | None = None

    def add(self, other: Cell) -> None:
        """Takes in another cell, of a part of this one's span."""
        self.row_count += other.row_count
        self.rx_bytes += other.rx_bytes
        self.tx_bytes += other.tx_bytes
        self.histogram = percentiles.merged([self.histogram.items(), other.histogram.items()])
        self.newest = max(self.newest, other.newest, key=_age)

    def percentile(self, fraction: float) -> float:
        return percentiles.from_histogram(self.histogram, fraction)


def _age(newest: Newest | None) -> datetime:
    return newest.collected_at if newest else EPOCH


def floor(moment: datetime, span: timedelta) -> datetime:
    """The start of the span that the moment lies in; spans are counted from 1970."""
    return moment - (moment - EPOCH) % span


def merged(cells: Iterable[Cell], *, span: timedelta) -> dict[datetime, Cell]:
    """The cells added up by the longer span that they lie in."""
    longer: dict[datetime, Cell] = {}
    for cell in cells:
        start = floor(cell.start, span)
        longer.setdefault(start, Cell(start)).add(cell)
    return longer


def minute_cells(since: datetime, until: datetime) -> list[Cell]:
    """A cell for each minute of [since, until) of which anything is known."""
    cells: dict[datetime, Cell] = {}
    for row in MinuteSum.objects.filter(minute__gte=since, minute__lt=until):
        cell = cells.setdefault(row.minute, Cell(row.minute))
        cell.row_count, cell.rx_bytes, cell.tx_bytes = (
            row.row_count,
            int(row.rx_bytes),
            int(row.tx_bytes),
        )
    buckets = LatencyBucket.objects.filter(minute__gte=since, minute__lt=until)
    for minute, bucket, rows in buckets.values_list("minute", "bucket", "row_count"):
        cells[minute].histogram[bucket] = rows
    for minute, newest in _newest_snapshots(since, until):
        cells.setdefault(minute, Cell(minute)).newest = newest
    return sorted(cells.values(), key=lambda cell: cell.start)


def _newest_snapshots(since: datetime, until: datetime) -> Iterable[tuple[datetime, Newest]]:
    """The newest snapshot of each minute that has one."""
    within = Snapshot.objects.filter(collected_at__gte=since, collected_at__lt=until)
    newest = within.annotate(minute=TruncMinute("collected_at")).order_by("minute", "-collected_at")
    for snapshot in newest.distinct("minute").defer("latency_histogram"):
        yield floor(snapshot.collected_at, MINUTE), _of(snapshot)


def _of(snapshot: Snapshot) -> Newest:
    return Newest(
        collected_at=snapshot.collected_at,
        workspaces={state: getattr(snapshot, state) for state in STATES},
        session_counts=snapshot.session_counts,
        build_version=snapshot.build_version,
        configuration_hash=snapshot.configuration_hash,
    )
