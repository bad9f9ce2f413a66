from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from deployment.stats import known_rows, repeated_ids
from deployment.stats.figures import agent_figures
from deployment.stats.ingest import ingest
from deployment.stats.ladder import build_rungs, mark_stale
from deployment.stats.models import (
    AgentStat,
    AheadAgentStat,
    LatencyBucket,
    MinuteSum,
    NewestAgentStat,
    Rung,
    SliceSum,
    UncheckedHour,
    UsageMinute,
)
from deployment.stats.outcome import Verdicts
from deployment.stats.repeated_ids import check_later, remove_repeated
from deployment.stats.retention import keep_hours_ahead, prune_stats
from tests.support.factories import utc
from tests.support.processes import wait_for
from tests.support.stats_rows import agent_row

NOW = utc(2026, 5, 4, 12, 34)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
LATER = NOW + 2 * HOUR


@pytest.fixture
def none_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where rows are so many that only the first of them, by its id, is looked for."""
    monkeypatch.setattr(known_rows, "MOST_LOOKUPS", 0)
    monkeypatch.setattr(known_rows, "SAMPLED_ROWS", 1)


def take(*rows: Any, now: Any = NOW) -> Verdicts:
    return ingest(enumerate(rows, 1), now=now, kind="agent")


def row(number: int, moment: Any, **members: Any) -> dict[str, Any]:
    """A row whose id orders it by its number, of an agent that reports all there is."""
    return agent_row(
        moment,
        id=str(uuid.UUID(int=number)),
        agent=1 + number % 2,
        rx_bytes=2**number,
        connection_median_latency_ms=1 + number,
        session_count_ssh=number,
        usage=True,
        **members,
    )


def everything() -> list[Any]:
    tables = (MinuteSum, LatencyBucket, SliceSum, UsageMinute, NewestAgentStat, AheadAgentStat)
    found = [sorted(table.objects.values_list(), key=str) for table in (*tables, AgentStat)]
    rungs = Rung.objects.filter(row_count__gt=0).order_by("span", "start")
    return [*found, list(rungs.values_list("span", "start", "row_count", "rx_bytes"))]


def moved(row: dict[str, Any], moment: Any) -> dict[str, Any]:
    return row | {"created_at": moment.isoformat(), "rx_bytes": 7, "session_count_ssh": 9}


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
@pytest.mark.parametrize(
    ("moment", "other"),
    [
        (NOW - 2 * HOUR, NOW - MINUTE),
        (NOW - MINUTE, NOW - 2 * HOUR),
        (NOW - HOUR, NOW + 2 * MINUTE),
        (NOW - 20 * HOUR, NOW - 3 * HOUR),
    ],
)
@pytest.mark.parametrize("wait", [32 * MINUTE, 2 * HOUR])
def test_of_two_rows_with_an_id_the_later_one_is_taken_back(
    moment: Any, other: Any, wait: timedelta
) -> None:
    later = NOW + wait
    first = row(5, moment)
    take(first, row(3, NOW - 5 * MINUTE), row(4, NOW - 3 * HOUR))
    take(row(1, NOW - 2 * MINUTE), row(7, NOW))
    with transaction.atomic():
        keep(later)
        before = everything()
        transaction.set_rollback(True)
    build_rungs(later)
    with_companion = take(row(2, NOW - 9 * HOUR), moved(first, other))
    assert with_companion.accepted == 2
    assert remove_repeated(later) == 1
    assert not UncheckedHour.objects.exists()
    assert remove_repeated(later) == 0
    take_back(row(2, NOW - 9 * HOUR))
    keep(later)
    assert everything() == before


def keep(now: datetime) -> None:
    """What the worker does by the clock."""
    prune_stats(now)
    build_rungs(now)


def take_back(companion: dict[str, Any]) -> None:
    """Takes what the companion came to away, which had a minute and a bucket of its own."""
    assert AgentStat.objects.filter(id=companion["id"]).delete()[0]
    minute = NOW - 9 * HOUR
    mark_stale(minute)
    for table in (MinuteSum, LatencyBucket, UsageMinute):
        assert table.objects.filter(minute=minute).delete()[0]


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_an_hour_is_checked_when_it_is_over() -> None:
    first = row(5, NOW - 3 * HOUR)
    take(first)
    UncheckedHour.objects.all().delete()
    take(row(1, NOW), moved(first, NOW))
    assert remove_repeated(NOW + 25 * MINUTE) == 0
    assert AgentStat.objects.count() == 3
    assert remove_repeated(NOW + 35 * MINUTE) == 1
    assert AgentStat.objects.count() == 2


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_what_is_sent_again_with_other_times_is_refused_though_it_is_much() -> None:
    rows = [row(number, NOW - 5 * HOUR) for number in range(5)]
    assert take(*rows).accepted == 5
    again = take(*(moved(each, NOW) for each in rows), row(9, NOW))
    assert (again.accepted, len(again.rejected)) == (1, 5)
    assert take(*rows).duplicate == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("none_looked_for")
def test_rows_that_come_while_their_hour_is_checked_are_checked_after_it() -> None:
    """What is brought in beside is not seen yet, and its mark is waited for."""
    take(row(1, NOW), row(2, NOW))

    def check() -> int:
        try:
            return remove_repeated(LATER)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            check_later([NOW.replace(minute=0)])
            checked = pool.submit(check)
            wait_for(waiting)
        assert checked.result() == 0
    assert UncheckedHour.objects.get().marks == 2
    remove_repeated(LATER)
    assert not UncheckedHour.objects.exists()


def waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_a_check_that_takes_long_goes_on_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = row(5, NOW - 3 * HOUR)
    take(first)
    UncheckedHour.objects.all().delete()
    take(row(1, NOW), moved(first, NOW), row(2, NOW - 2 * HOUR))
    monkeypatch.setattr(repeated_ids, "RUN_SECONDS", 0)
    assert remove_repeated(LATER) == 0
    assert UncheckedHour.objects.count() == 2
    UncheckedHour.objects.update(compared_to=NOW.replace(minute=0) - 3 * HOUR)
    monkeypatch.undo()
    assert remove_repeated(LATER) == 0
    assert not UncheckedHour.objects.exists()
    assert AgentStat.objects.count() == 4


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_a_row_whose_id_came_late_before_is_taken_back() -> None:
    late = row(5, NOW - 30 * HOUR)
    take(late)
    take(row(1, NOW), moved(late, NOW))
    assert remove_repeated(LATER) == 1
    assert MinuteSum.objects.aggregate(rows=Sum("row_count")) == {"rows": 2}


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_a_late_row_whose_id_is_known_is_refused_among_however_many() -> None:
    known = row(5, NOW)
    take(known)
    verdicts = take(row(1, NOW - 30 * HOUR), moved(known, NOW - 30 * HOUR), row(2, NOW))
    assert (verdicts.accepted, [each.field for each in verdicts.rejected]) == (2, ["id"])


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_a_row_that_was_written_anew_still_came_first() -> None:
    first = row(5, NOW - 3 * HOUR)
    take(first)
    take(row(1, NOW), moved(first, NOW))
    AgentStat.objects.filter(created_at=first["created_at"]).update(user_id=uuid.UUID(int=0))
    assert remove_repeated(LATER) == 1
    assert AgentStat.objects.get(id=first["id"]).created_at == NOW - 3 * HOUR


@pytest.mark.django_db
@pytest.mark.usefixtures("none_looked_for")
def test_slices_that_nothing_was_taken_out_of_are_not_read() -> None:
    first = row(5, NOW - 3 * HOUR)
    take(first, row(3, NOW))
    take(row(1, NOW), moved(first, NOW))
    assert remove_repeated(LATER) == 1
    left = MinuteSum.objects.get(minute=NOW)
    assert (left.row_count, left.sliced_count) == (2, 0)
    assert agent_figures(NOW).rx_bytes == 2**1 + 2**3


@pytest.mark.django_db
def test_what_brought_nothing_new_is_not_checked_again() -> None:
    late, known = row(1, NOW - 30 * HOUR), row(2, NOW)
    take(late)
    assert not UncheckedHour.objects.exists()
    take(known)
    assert UncheckedHour.objects.get().start == NOW.replace(minute=0)
    remove_repeated(LATER)
    take(late, known)
    assert not UncheckedHour.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_id_that_two_bring_at_once_for_two_hours_is_taken_back_from_one() -> None:
    keep_hours_ahead(NOW - 4 * HOUR)
    one, other = row(1, NOW - 3 * HOUR), moved(row(1, NOW - 2 * HOUR), NOW - 2 * HOUR)

    def take_other() -> Verdicts:
        try:
            return take(other | {"agent_id": str(uuid.UUID(int=9))})
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert take(one).accepted == 1
        assert pool.submit(take_other).result().accepted == 1
    assert remove_repeated(LATER) == 1
    assert AgentStat.objects.get().created_at == NOW - 3 * HOUR
