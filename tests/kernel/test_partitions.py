"""Partitions by time: their names, and names that are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection

from csp.models import REPORTS
from kernel.db.partitions import PartitionIndex

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "csp_report_p000101010000"),
        (datetime(999, 6, 1, 12, tzinfo=UTC), "csp_report_p099906010000"),
        (datetime(2001, 2, 3, 4, 5, tzinfo=UTC), "csp_report_p200102030000"),
    ],
)
def test_partition_of_any_year_is_found_again_and_dropped(moment: datetime, name: str) -> None:
    day = moment.replace(hour=0, minute=0)
    assert REPORTS.ensure(moment, moment) == 1
    assert REPORTS.ensure(moment, moment) == 0
    assert day in REPORTS.starts()
    assert name in REPORTS.drop_before(datetime(2026, 3, 6, tzinfo=UTC))
    assert day not in REPORTS.starts()


@pytest.mark.parametrize("suffix", ["old", "101010000", "2026010100"])
def test_partition_that_somebody_else_made_is_left_alone(suffix: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE csp_report_p{suffix} PARTITION OF csp_report "
            "FOR VALUES FROM ('1999-01-01') TO ('1999-01-02')"
        )
    try:
        REPORTS.ensure(datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC))
        assert f"csp_report_p{suffix}" not in REPORTS.drop_before(datetime(2026, 3, 6, tzinfo=UTC))
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE csp_report_p{suffix}")


PROBE = PartitionIndex("csp_report", "csp_report_probe", "probe", "(shape)")


@pytest.fixture
def partition() -> Iterator[str]:
    day = datetime(2001, 2, 3, tzinfo=UTC)
    REPORTS.ensure(day, day)
    yield "csp_report_p200102030000"
    REPORTS.drop_before(datetime(2001, 2, 4, tzinfo=UTC))


def test_index_is_built_in_partitions_that_are_there_and_after_a_broken_attempt(
    partition: str,
) -> None:
    with connection.schema_editor(atomic=False) as editor, connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX {partition}_probe ON {partition} (id)")
        try:
            PROBE.add(None, editor)
            PROBE.add(None, editor)
            cursor.execute(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [PROBE.name]
            )
            assert cursor.fetchone() == (True,)
            cursor.execute(
                "SELECT indexdef FROM pg_indexes WHERE indexname = %s", [f"{partition}_probe"]
            )
            assert "(shape)" in cursor.fetchone()[0]
        finally:
            PROBE.drop(None, editor)
