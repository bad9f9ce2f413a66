from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.models import Sum
from psycopg.errors import UniqueViolation

from deployment.stats import closed_hours
from deployment.stats.figures import agent_figures, workspace_figures
from deployment.stats.ingest import ingest
from deployment.stats.ladder import build_rungs
from deployment.stats.models import AgentStat, ClosedHour, MinuteSum, WorkspaceState
from deployment.stats.outcome import Verdicts
from deployment.stats.partitions import AGENT_STATS
from deployment.stats.services import collect_snapshot, keep_hours_ahead, prune_stats
from tests.support.factories import utc
from tests.support.stats_rows import agent_row, workspace_row

MIGRATION = "deployment.migrations.0008_know_agent_rows_by_id_within_their_hour"
make_ids_unique = import_module(MIGRATION).make_ids_unique
NOW = utc(2026, 5, 4, 12, 34).replace(second=56)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def take(*rows: Any, now: Any = NOW, kind: str = "agent") -> Verdicts:
    return ingest(enumerate(rows, 1), now=now, kind=kind)


def counts(verdicts: Verdicts) -> tuple[int, int, int]:
    return verdicts.accepted, verdicts.duplicate, len(verdicts.rejected)


@pytest.mark.django_db
def test_a_row_that_comes_again_changes_nothing() -> None:
    row = agent_row(NOW, rx_bytes=7, connection_median_latency_ms=1)
    assert counts(take(row, row)) == (1, 1, 0)
    assert counts(take(row)) == (0, 1, 0)
    assert agent_figures(NOW).rx_bytes == 7


@pytest.mark.django_db
@pytest.mark.parametrize("together", [True, False])
def test_the_same_id_with_another_time_is_refused(together: bool) -> None:
    row = agent_row(NOW)
    other = row | {"created_at": (NOW - 50 * SECOND).isoformat()}
    verdicts = take(row, other) if together else (take(row), take(other))[1]
    (rejection,) = verdicts.rejected
    assert (rejection.field, "another created_at" in rejection.detail) == ("id", True)
    assert AgentStat.objects.count() == 1


HOUR_START = NOW.replace(minute=0, second=0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("first", "other"),
    [
        (HOUR_START, HOUR_START + timedelta(minutes=34)),
        (HOUR_START - SECOND, HOUR_START),
        (HOUR_START - 20 * HOUR, HOUR_START),
        (HOUR_START + 36 * 60 * SECOND, HOUR_START - 23 * HOUR),
        (HOUR_START, HOUR_START - SECOND),
        (HOUR_START + timedelta(minutes=7), HOUR_START - timedelta(minutes=7)),
        (NOW - 25 * HOUR, NOW - 25 * HOUR - timedelta(minutes=20)),
        (NOW - 60 * HOUR, NOW - 50 * HOUR),
    ],
)
def test_an_id_is_known_also_in_other_hours_and_among_late_rows(first: Any, other: Any) -> None:
    row = agent_row(first)
    take(row)
    verdicts = take(row | {"created_at": other.isoformat()}, agent_row(other))
    assert counts(verdicts) == (1, 0, 1)
    assert verdicts.rejected[0].field == "id"
    assert MinuteSum.objects.aggregate(rows=Sum("row_count")) == {"rows": 2}


@pytest.mark.django_db(transaction=True)
def test_an_id_with_two_times_in_an_hour_from_two_at_once_is_taken_once() -> None:
    keep_hours_ahead(NOW)
    ids = [str(uuid.uuid4()) for _ in range(200)]

    def send(number: int) -> Verdicts:
        try:
            rows = [agent_row(NOW - number * SECOND, id=each) for each in ids]
            return take(*(rows if number % 2 else rows[::-1]))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(send, range(8)))
    assert sum(each.accepted for each in verdicts) == 200
    assert sum(len(each.rejected) for each in verdicts) == 7 * 200
    assert AgentStat.objects.count() == 200


@pytest.fixture
def as_of_an_older_version(transactional_db: None) -> str:
    """A partition, between two others, where an id was let in twice."""
    keep_hours_ahead(NOW)
    name = AGENT_STATS.partition_of(HOUR_START + HOUR)
    moment = HOUR_START + HOUR
    take(agent_row(moment), agent_row(moment + SECOND), now=moment + HOUR)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {name}_id")
        cursor.execute(f"INSERT INTO {name} TABLE {name}")
    return name


def test_partitions_of_an_older_version_learn_that_ids_are_unique(
    as_of_an_older_version: str,
) -> None:
    assert keep_hours_ahead(NOW) == 1
    assert keep_hours_ahead(NOW) == 0
    assert AgentStat.objects.count() == 2
    row = agent_row(HOUR_START + HOUR)
    for outcome in ((1, 0, 0), (0, 1, 0)):
        assert counts(take(row, now=NOW + HOUR)) == outcome


def test_a_partition_that_cannot_be_mended_holds_up_no_other(as_of_an_older_version: str) -> None:
    name = AGENT_STATS.partition_of(HOUR_START)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {name}_id")
        cursor.execute(f"CREATE VIEW {name}_id AS SELECT 1")
    try:
        with pytest.raises(DatabaseError, match="is not an index"):
            keep_hours_ahead(NOW)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP VIEW {name}_id")
    assert AgentStat.objects.count() == 2
    assert keep_hours_ahead(NOW) == 1


def test_partitions_of_others_are_left_alone(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            'CREATE TABLE "Others" PARTITION OF deployment_agentstat '
            "FOR VALUES FROM ('1999-01-01T00:00:00Z') TO ('1999-02-01T00:00:00Z')"
        )
    try:
        keep_hours_ahead(NOW)
        assert keep_hours_ahead(NOW) == 0
        make_ids_unique(None, SimpleNamespace(connection=connection))
    finally:
        with connection.cursor() as cursor:
            cursor.execute('DROP TABLE "Others"')


def test_the_upgrade_keeps_one_row_of_an_id(as_of_an_older_version: str) -> None:
    make_ids_unique(None, SimpleNamespace(connection=connection))
    assert AgentStat.objects.count() == 2
    assert keep_hours_ahead(NOW) == 0


@pytest.mark.django_db
def test_texts_of_any_kind_are_kept_as_they_are() -> None:
    names = ['a"b', "a\\b", "a,b", "],[", "a\nb\r\t", "é€😀", "\\.", "'", ""]
    take(agent_row(NOW, connections_by_proto=dict.fromkeys(names, 1)))
    assert AgentStat.objects.get().connections_by_proto == dict.fromkeys(names, 1)


@pytest.mark.django_db
def test_good_rows_stay_beside_bad_ones() -> None:
    verdicts = take(agent_row(NOW), {"id": "7"}, "no row", agent_row(NOW, usage=3))
    assert counts(verdicts) == (1, 0, 3)
    assert [(r.row, r.field) for r in verdicts.rejected] == [(2, "id"), (3, ""), (4, "usage")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ahead", "taken"), [(timedelta(minutes=5), 1), (timedelta(minutes=5, microseconds=1), 0)]
)
def test_a_row_more_than_five_minutes_ahead_is_refused(ahead: timedelta, taken: int) -> None:
    assert take(agent_row(NOW + ahead)).accepted == taken


@pytest.mark.django_db
def test_rows_of_an_agent_whose_clock_is_ahead_count_when_their_time_comes() -> None:
    rows = [agent_row(NOW + n * 30 * SECOND, session_count_ssh=n) for n in range(5)]
    take(*rows)
    for number in range(5):
        at = NOW + number * 30 * SECOND
        assert collect_snapshot(at).session_counts["ssh"] == number


@pytest.mark.django_db
def test_a_late_row_is_folded_once_and_not_kept() -> None:
    row = agent_row(NOW - 26 * HOUR, rx_bytes=7, connection_median_latency_ms=1)
    assert counts(take(row, row)) == (1, 1, 0)
    assert counts(take(row)) == (0, 1, 0)
    assert not AgentStat.objects.exists()
    assert MinuteSum.objects.get().rx_bytes == 7


@pytest.mark.django_db
@pytest.mark.parametrize("companions", [0, 1])
def test_late_rows_are_known_once_their_hour_is_kept_again(settings: Any, companions: int) -> None:
    moment = HOUR_START - 26 * HOUR
    rows = [agent_row(moment), agent_row(moment - SECOND), agent_row(moment + 59 * 60 * SECOND)]
    take(*rows)
    settings.STATS_RAW_RETENTION = 48 * HOUR
    more = [agent_row(moment) for _ in range(companions)]
    assert counts(take(*rows, *more)) == (companions, 3, 0)
    moved = [row | {"created_at": (moment + SECOND).isoformat()} for row in rows]
    assert counts(take(*moved, *more)) == (0, companions, 3)
    assert MinuteSum.objects.aggregate(rows=Sum("row_count")) == {"rows": 3 + companions}


@pytest.mark.django_db
@pytest.mark.parametrize("with_companion", [True, False])
def test_what_becomes_of_a_row_does_not_depend_on_those_it_comes_with(with_companion: bool) -> None:
    late, known = agent_row(NOW - 50 * HOUR), agent_row(NOW)
    take(late, known)
    moved = late | {"created_at": NOW.isoformat()}
    companions = [known, agent_row(NOW - 50 * HOUR)] if with_companion else []
    assert counts(take(*companions, moved)) == (0 + with_companion, 0 + with_companion, 1)


@pytest.mark.django_db
def test_a_conflict_that_no_known_row_explains_is_an_error() -> None:
    take(agent_row(NOW, agent=1))
    with connection.cursor() as cursor:
        name = AGENT_STATS.partition_of(HOUR_START)
        cursor.execute(f"CREATE UNIQUE INDEX ON {name} (agent_id)")
    with pytest.raises(UniqueViolation):
        take(agent_row(NOW, agent=1))


@pytest.mark.django_db
def test_a_row_older_than_what_is_kept_is_refused() -> None:
    (rejection,) = take(agent_row(NOW - timedelta(days=36))).rejected
    assert rejection.field == "created_at"


@pytest.mark.django_db
@pytest.mark.parametrize("others", [0, 1, 500])
def test_of_an_hour_that_was_dropped_a_row_is_told_from_one_that_came_before(others: int) -> None:
    rows = [
        agent_row(NOW - n * SECOND, rx_bytes=1, connection_median_latency_ms=1) for n in range(3)
    ]
    take(*rows, *(agent_row(NOW) for _ in range(others)))
    later = NOW + 27 * HOUR
    assert prune_stats(later) > 0
    news = [agent_row(NOW - n * SECOND) for n in range(4)]
    assert counts(take(*rows, *news, now=later)) == (4, 3, 0)
    assert counts(take(*rows, *news, now=later)) == (0, 7, 0)
    assert not AgentStat.objects.exists()
    assert MinuteSum.objects.aggregate(rows=Sum("row_count")) == {"rows": 3 + others + 4}


@pytest.mark.django_db
def test_an_hour_that_an_older_version_closed_stays_closed() -> None:
    ClosedHour.objects.create(start=HOUR_START)
    (rejection,) = take(agent_row(NOW), now=NOW + 27 * HOUR).rejected
    assert (rejection.field, "closed" in rejection.detail) == ("created_at", True)


@pytest.mark.django_db
def test_a_closed_hour_is_not_kept_again(settings: Any) -> None:
    row = agent_row(NOW)
    take(row)
    later = NOW + 27 * HOUR
    prune_stats(later)
    settings.STATS_RAW_RETENTION = 48 * HOUR
    assert counts(take(row, agent_row(NOW), now=later)) == (1, 1, 0)
    assert not AgentStat.objects.exists()


@pytest.mark.django_db
def test_rows_that_come_while_their_hour_is_closed_are_known_as_well() -> None:
    rows = [agent_row(NOW), agent_row(NOW)]
    later = NOW + 27 * HOUR
    take(rows[0])
    closed_hours.close([HOUR_START])
    assert counts(take(*rows)) == (1, 1, 0)
    prune_stats(later)
    assert counts(take(*rows, now=later)) == (0, 2, 0)


@pytest.mark.django_db
def test_an_hour_without_rows_stays_open_when_it_is_dropped() -> None:
    keep_hours_ahead(NOW)
    later = NOW + 27 * HOUR
    prune_stats(later)
    assert counts(take(agent_row(NOW), now=later)) == (1, 0, 0)


@pytest.mark.django_db
def test_hours_are_dropped_whole_and_only_when_old() -> None:
    take(agent_row(NOW), agent_row(NOW - 2 * HOUR))
    prune_stats(NOW + 23 * HOUR)
    assert AgentStat.objects.count() == 1
    assert utc(2026, 5, 4, 12) in AGENT_STATS.starts()
    assert utc(2026, 5, 4, 10) not in AGENT_STATS.starts()


@pytest.mark.django_db
def test_without_a_limit_raw_rows_stay(settings: Any) -> None:
    settings.STATS_RAW_RETENTION = settings.STATS_RETENTION = timedelta(0)
    take(agent_row(NOW))
    prune_stats(NOW + timedelta(days=5000))
    assert AgentStat.objects.count() == 1


@pytest.mark.django_db
def test_a_row_out_of_any_range_makes_no_partition(settings: Any) -> None:
    settings.STATS_RAW_RETENTION = timedelta(0)
    before = AGENT_STATS.starts()
    rows = [agent_row(utc(1)), agent_row(utc(1999)), agent_row(utc(9998))]
    assert counts(take(*rows)) == (0, 0, 3)
    assert AGENT_STATS.starts() == before


@pytest.mark.django_db
def test_old_snapshots_and_sums_go_after_their_time(settings: Any) -> None:
    take(agent_row(NOW, connection_median_latency_ms=1))
    old = collect_snapshot(NOW)
    later = NOW + settings.STATS_RETENTION + HOUR
    new = collect_snapshot(later)
    build_rungs(later)
    prune_stats(later)
    assert type(old).objects.get() == new
    assert not MinuteSum.objects.exists()


@pytest.mark.django_db
def test_agent_rows_are_not_taken_while_usage_stats_are_off(settings: Any) -> None:
    settings.STATS_USAGE_ENABLED = False
    assert counts(take(agent_row(NOW))) == (0, 0, 1)
    assert counts(take(workspace_row(1), kind="workspace")) == (1, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_the_same_rows_from_many_at_once_count_once() -> None:
    keep_hours_ahead(NOW)
    rows = [
        agent_row(NOW - n * SECOND, agent=n, rx_bytes=1, connection_median_latency_ms=n + 1)
        for n in range(200)
    ]

    def send(number: int) -> Verdicts:
        try:
            return take(*(rows if number % 2 else rows[::-1]))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(send, range(8)))
    assert sum(each.accepted for each in verdicts) == 200
    assert sum(each.duplicate for each in verdicts) == 7 * 200
    assert agent_figures(NOW).rx_bytes == 200


def state(build: int, at: str | None = None, **members: Any) -> dict[str, Any]:
    return workspace_row(1, build_number=build, job_updated_at=at, **members)


EARLY, LATE = "2026-05-04T12:00:00Z", "2026-05-04T12:00:01Z"
RUNNING = {"job_started_at": EARLY, "job_completed_at": EARLY, "transition": "start"}


@pytest.mark.django_db
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (state(1, LATE), state(2, EARLY)),
        (state(1, EARLY), state(1, LATE)),
        (state(1, None), state(1, LATE)),
        (state(1), state(1, **RUNNING)),
        (state(1, LATE), state(1, LATE, deleted=True)),
        (workspace_row(1, build_number=None), state(0)),
    ],
)
def test_the_newest_state_of_a_workspace_wins_in_any_order(
    older: dict[str, Any], newer: dict[str, Any], together: bool
) -> None:
    for first, second in ((older, newer), (newer, older)):
        WorkspaceState.objects.all().delete()
        for batch in [(first, second)] if together else [(first,), (second,)]:
            take(*batch, kind="workspace")
        known = WorkspaceState.objects.get()
        assert known.build_number == newer["build_number"]
        assert known.deleted == newer.get("deleted", False)
        assert known.transition == newer.get("transition", "")


@pytest.mark.django_db
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    "gone",
    [
        workspace_row(1, build_number=None, deleted=True),
        state(2, deleted=True),
        state(2, EARLY, deleted=True),
        state(1, EARLY, deleted=True),
        state(3, deleted=True),
    ],
)
def test_a_workspace_that_is_gone_stays_so(gone: dict[str, Any], together: bool) -> None:
    running = state(2, LATE, **RUNNING)
    for first, second in ((running, gone), (gone, running)):
        WorkspaceState.objects.all().delete()
        batches = [(first, second)] if together else [(first,), (second,), (first,), (second,)]
        verdicts = [take(*batch, kind="workspace") for batch in batches]
        assert sum(each.accepted for each in verdicts) in (1, 2)
        assert workspace_figures().running == 0
        assert WorkspaceState.objects.get().build_number == max(2, gone["build_number"] or 0)
        assert counts(take(first, second, kind="workspace")) == (0, 2, 0)


@pytest.mark.django_db
def test_a_workspace_without_a_build_is_pending() -> None:
    take(workspace_row(1, build_number=None), kind="workspace")
    assert workspace_figures().pending == 1


@pytest.mark.django_db
def test_each_row_may_name_its_kind() -> None:
    rows = [
        agent_row(NOW, kind="agent"),
        workspace_row(1, kind="workspace"),
        workspace_row(2, kind="cat"),
        workspace_row(3, kind=["agent"]),
        workspace_row(3),
    ]
    verdicts = ingest(enumerate(rows), now=NOW)
    assert counts(verdicts) == (2, 0, 3)
    assert {rejection.field for rejection in verdicts.rejected} == {"kind"}
