from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from deployment.stats.figures import agent_figures, usage_sessions
from deployment.stats.folding import promote
from deployment.stats.ingest import ingest, made_ready, parse, take_in
from deployment.stats.ladder import build_rungs
from deployment.stats.models import (
    AgentStat,
    LatencyBucket,
    MinuteSum,
    NewestAgentStat,
    Rung,
    SliceSum,
    UsageMinute,
)
from deployment.stats.refolding import RefoldError, refold
from deployment.stats.retention import keep_hours_ahead, prune_stats
from deployment.stats.services import SnapshotError, collect_snapshot
from tests.support.factories import utc
from tests.support.stats_rows import agent_row

NOW = utc(2026, 5, 4, 12, 34)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def feed() -> None:
    chance = random.Random(5)  # noqa: S311 - the same rows each time
    rows = [
        agent_row(
            NOW - timedelta(seconds=chance.uniform(-200, 900)),
            agent=chance.randrange(5),
            rx_bytes=chance.randrange(99),
            connection_median_latency_ms=chance.uniform(-1, 9),
            session_count_ssh=chance.randrange(5),
            usage=chance.random() < 0.5,
        )
        for _ in range(100)
    ]
    ingest(enumerate(rows), now=NOW, kind="agent")


def everything() -> list[Any]:
    """All that is folded, and what it comes to."""
    tables = (MinuteSum, LatencyBucket, SliceSum, UsageMinute, NewestAgentStat)
    rows = [sorted(table.objects.values_list(), key=str) for table in tables]
    return [agent_figures(NOW, most_exact_rows=0), usage_sessions(NOW), *rows]


@pytest.mark.django_db
@pytest.mark.parametrize("minutes", [1, 5, 60])
def test_what_is_folded_again_is_what_was_folded(minutes: int) -> None:
    feed()
    before = everything()
    refold(NOW - timedelta(minutes=minutes), now=NOW)
    assert everything() == before


@pytest.mark.django_db
def test_damaged_sums_are_made_right() -> None:
    feed()
    right = everything()
    SliceSum.objects.update(rx_bytes=7, row_count=1)
    UsageMinute.objects.update(session_count_ssh=99)
    MinuteSum.objects.update(rx_bytes=7, row_count=1)
    LatencyBucket.objects.all().delete()
    NewestAgentStat.objects.update(session_count_ssh=99)
    assert refold(NOW - timedelta(minutes=20), now=NOW) == 100
    assert everything() == right


@pytest.mark.django_db
def test_rows_that_were_not_kept_are_not_lost_to_folding_again() -> None:
    ingest([(1, agent_row(NOW - timedelta(hours=26)))], now=NOW, kind="agent")
    with pytest.raises(RefoldError, match="Rows are kept from"):
        refold(NOW - timedelta(hours=27), now=NOW)
    assert MinuteSum.objects.count() == 1


@pytest.mark.django_db
def test_the_command_says_how_many_rows_it_folded() -> None:
    now = timezone.now()
    ingest([(1, agent_row(now))], now=now, kind="agent")
    since = (now - timedelta(minutes=5)).isoformat()
    assert call_command("refold_stats", "--since", since) == "1 rows folded again."
    with pytest.raises(CommandError, match="Rows are kept from"):
        call_command("refold_stats", "--since", "2001-01-01T00:00:00Z")
    with pytest.raises(CommandError, match="still to come"):
        call_command("refold_stats", "--since", (now + timedelta(days=1)).isoformat())


@pytest.mark.django_db
def test_history_is_built_anew_where_nothing_is_left() -> None:
    ingest([(1, agent_row(NOW))], now=NOW, kind="agent")
    build_rungs(NOW + HOUR)
    AgentStat.objects.all().delete()
    assert Rung.objects.exists()
    refold(NOW, now=NOW + HOUR)
    build_rungs(NOW + HOUR)
    assert not Rung.objects.exists()


def mixed_rows() -> list[Any]:
    """Rows of each fate: new, late, too old, ahead, too far ahead, known, given twice, bad."""
    known = agent_row(NOW - MINUTE, rx_bytes=1, connection_median_latency_ms=1)
    ingest([(1, known)], now=NOW, kind="agent")
    moments = [
        NOW,
        NOW - 59 * MINUTE,
        NOW - timedelta(hours=30),
        NOW - timedelta(days=36),
        NOW + 2 * MINUTE,
        NOW + 6 * MINUTE,
    ]
    rows = [
        agent_row(
            moment,
            agent=number,
            rx_bytes=2**number,
            connection_median_latency_ms=number,
            session_count_ssh=number,
            usage=bool(number % 2),
        )
        for number, moment in enumerate(moments)
    ]
    return [*rows, known, rows[0], known | {"created_at": NOW.isoformat()}, {"id": 7}]


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [slice(None), slice(2), slice(4, 5), slice(5, 6)])
@pytest.mark.parametrize("waited", [timedelta(0), timedelta(seconds=59), 3 * MINUTE])
def test_what_was_made_ready_before_comes_to_the_same(rows: slice, waited: timedelta) -> None:
    """Also where the clock has gone on meanwhile, beyond a row that was ahead or had a slice."""
    parsed = parse(enumerate(mixed_rows()[rows], 1), kind="agent")
    found = []
    for quick in (True, False):
        with transaction.atomic():
            made = made_ready(parsed, now=NOW) if quick else parsed
            verdicts = take_in(made, now=NOW + waited)
            promote(NOW + HOUR)
            prune_stats(NOW + waited)
            judged = sorted((each.row, each.field, each.detail) for each in verdicts.rejected)
            found.append((verdicts.accepted, verdicts.duplicate, judged, *everything()))
            transaction.set_rollback(True)
    assert found[0] == found[1]


@pytest.mark.django_db
@pytest.mark.parametrize("retention", [timedelta(0), 60 * HOUR])
def test_what_was_dropped_is_neither_folded_nor_collected_again(
    settings: Any, retention: timedelta
) -> None:
    later = NOW + 30 * HOUR
    ingest([(1, agent_row(NOW))], now=NOW, kind="agent")
    ingest([(1, agent_row(NOW + 10 * HOUR))], now=later, kind="agent")
    prune_stats(later)
    settings.STATS_RAW_RETENTION = retention
    with pytest.raises(RefoldError, match="were dropped"):
        refold(NOW - HOUR, now=later)
    assert MinuteSum.objects.count() == 2


@pytest.mark.django_db
def test_an_hour_that_was_dropped_is_not_made_again_by_a_clock_that_is_behind() -> None:
    row = agent_row(NOW)
    ingest([(1, row)], now=NOW, kind="agent")
    prune_stats(NOW + 26 * HOUR)
    with pytest.raises(SnapshotError, match="rows were dropped"):
        collect_snapshot(NOW, now=NOW + 2 * HOUR)
    keep_hours_ahead(NOW)
    again = ingest([(1, row), (2, agent_row(NOW))], now=NOW, kind="agent")
    assert (again.accepted, again.duplicate) == (1, 1)


@pytest.mark.django_db
def test_rungs_are_built_of_all_their_minutes_until_rows_of_these_are_refused() -> None:
    first = NOW.replace(minute=30)
    rows = [agent_row(first + n * MINUTE) for n in range(5)]
    ingest(enumerate(rows), now=NOW + HOUR, kind="agent")
    build_rungs(NOW + HOUR)
    later = first + timedelta(days=35, minutes=3)
    prune_stats(later)
    ingest([(1, agent_row(first + 4 * MINUTE))], now=later, kind="agent")
    build_rungs(later + HOUR)
    assert set(Rung.objects.values_list("row_count", flat=True)) == {6}
    prune_stats(later + 3 * HOUR)
    assert not MinuteSum.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("retention", [timedelta(0), timedelta(days=60)])
def test_what_is_only_left_as_rungs_is_not_built_anew_of_a_late_row(
    settings: Any, retention: timedelta
) -> None:
    ingest(enumerate(agent_row(NOW) for _ in range(3)), now=NOW, kind="agent")
    build_rungs(NOW + HOUR)
    later = NOW + timedelta(days=40)
    prune_stats(later)
    settings.STATS_RAW_RETENTION = retention
    rows = [agent_row(NOW), agent_row(NOW - HOUR), agent_row(later)]
    verdicts = ingest(enumerate(rows), now=later, kind="agent")
    assert (verdicts.accepted, [each.row for each in verdicts.rejected]) == (2, [0])
    build_rungs(later)
    built = Rung.objects.filter(span=300).order_by("start")
    assert list(built.values_list("row_count", flat=True)) == [1, 3]
