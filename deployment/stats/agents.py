"""Taking in agent rows: each is kept raw while its hour is, and folded exactly once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter

from django.conf import settings

from deployment.stats import keeping, partitions, repeated_ids
from deployment.stats.arriving import CREATED_AT, ID, Arrived
from deployment.stats.cells import floor
from deployment.stats.closed_hours import without_known
from deployment.stats.folding import MINUTES_KEPT, minutes_from
from deployment.stats.keeping import Made, keep_new
from deployment.stats.known_rows import KnownRows, without
from deployment.stats.ladder import FIVE_MINUTES, built_for_good
from deployment.stats.outcome import Rejection, Verdicts
from deployment.stats.rows import Row

_id_of, _time_of = itemgetter(ID), itemgetter(CREATED_AT)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Agent rows in the order of their ids, their times and hours; `made` where that was done."""

    rows: Sequence[Row]
    first: datetime
    last: datetime
    hours: set[datetime]
    are_distinct: bool
    made: Made | None = None


def arrivals(rows: Iterable[Row]) -> Arrivals | None:
    """The rows put in order, if there are any."""
    ordered = sorted(rows, key=_id_of)
    if not ordered:
        return None
    times = list(map(_time_of, ordered))
    are_distinct = len(set(map(_id_of, ordered))) == len(ordered)
    return Arrivals(ordered, min(times), max(times), partitions.hours_of(times), are_distinct)


def made_ready(found: Arrivals, *, now: datetime) -> Arrivals:
    """The same, with all that can be done without the database, perhaps in another thread."""
    return replace(found, made=keeping.make(found.rows, now=now))


def prepare(found: Arrivals, *, now: datetime) -> None:
    """Makes the partitions that the rows need, outside the transaction that takes them in.

    Making one locks the whole table, and dropping old ones does too: within that transaction the
    two would wait for each other.
    """
    latest = now + partitions.AHEAD
    hours = {hour for hour in found.hours if hour <= latest}
    kept_from = partitions.kept_from(now, retention=settings.STATS_RAW_RETENTION)
    partitions.ensure_hours(hours, kept_from=max(kept_from, minutes_from(now)))


class AgentIntake:
    """Takes in agent rows, a part at a time, in the surrounding transaction.

    What they come to is added up over the parts and folded once, at the end: it is mostly the same
    minutes and the same agents again.
    """

    def __init__(self) -> None:
        self._arrived: Arrived | None = None
        self._kept: set[datetime] = set()
        self._known = KnownRows()

    def take(self, found: Arrivals, *, now: datetime) -> Verdicts:
        """Keeps each new row once, after `prepare`; what became of each."""
        verdicts = Verdicts()
        if settings.STATS_USAGE_ENABLED:
            rows = _timely(found, now=now, verdicts=verdicts)
            rows = _addable(rows, found, now=now, verdicts=verdicts)
            if not found.are_distinct:
                rows = _without_repetitions(rows, verdicts=verdicts)
            self._keep(rows, found, now=now, verdicts=verdicts)
        else:
            detail = "agent rows are switched off"
            verdicts.rejected = [_refused(row, "kind", detail) for row in found.rows]
        return verdicts

    def _keep(
        self, rows: Sequence[Row], found: Arrivals, *, now: datetime, verdicts: Verdicts
    ) -> None:
        partitions.lock_hours(shared=True)
        whole = rows is found.rows
        hours = partitions.look_at_hours(found.hours if whole else _hours_of(rows))
        rows = without_known(rows, hours, verdicts=verdicts)
        rows = without(self._known.of(rows, hours, now=now), rows, verdicts=verdicts)
        arrived = keep_new(rows, hours, now=now, verdicts=verdicts, made=found.made)
        verdicts.accepted += arrived.rows
        self._kept |= hours.kept
        if self._arrived is None:
            self._arrived = arrived
        else:
            self._arrived.join(arrived)

    def fold(self) -> None:
        """Folds what was kept. To be called at the end of the transaction."""
        if self._arrived is not None and self._arrived.rows:
            self._arrived.fold()
            repeated_ids.check_later(self._kept)


def _hours_of(rows: Iterable[Row]) -> set[datetime]:
    return partitions.hours_of(map(_time_of, rows))


def _refused(row: Row, field: str, detail: str) -> Rejection:
    return Rejection(row[0], field, detail)


def _timely(found: Arrivals, *, now: datetime, verdicts: Verdicts) -> Sequence[Row]:
    """The rows whose time is neither too far ahead nor older than anything that is kept."""
    latest = now + partitions.AHEAD
    earliest = minutes_from(now)
    if earliest <= found.first and found.last <= latest:
        return found.rows
    timely = []
    for row in found.rows:
        if row[CREATED_AT] > latest:
            detail = f"is more than {partitions.AHEAD} ahead of {now.isoformat()}"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        elif row[CREATED_AT] < earliest:
            detail = f"is before {earliest.isoformat()}, and nothing that old is kept"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        else:
            timely.append(row)
    return timely


def _addable(
    rows: Sequence[Row], found: Arrivals, *, now: datetime, verdicts: Verdicts
) -> Sequence[Row]:
    """The rows that history can be built of anew: it may be older than the retention once was."""
    oldest = now - MINUTES_KEPT
    if found.first >= oldest:
        return rows
    gone = built_for_good(row[CREATED_AT] for row in rows if row[CREATED_AT] < oldest)
    addable = []
    for row in rows:
        start = floor(row[CREATED_AT], FIVE_MINUTES)
        if start in gone:
            detail = f"is of {start.isoformat()}, and only sums of that are kept"
            verdicts.rejected.append(_refused(row, "created_at", detail))
        else:
            addable.append(row)
    return addable


def _without_repetitions(rows: Sequence[Row], *, verdicts: Verdicts) -> Sequence[Row]:
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row[ID], row)
        if known is not row:
            verdicts.judge_known(row[0], known[CREATED_AT] == row[CREATED_AT])
    return list(first.values())
