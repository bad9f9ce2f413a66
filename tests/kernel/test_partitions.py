"""Partitions by time: creating, finding and dropping them by their names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from csp.models import REPORTS

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 6, tzinfo=UTC)


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
    assert name in REPORTS.drop_before(NOW)
    assert day not in REPORTS.starts()


@pytest.mark.parametrize("suffix", ["old", "101010000", "2026010100"])
def test_partition_with_another_name_is_never_dropped(suffix: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE csp_report_p{suffix} PARTITION OF csp_report "
            "FOR VALUES FROM ('1999-01-01') TO ('1999-01-02')"
        )
    REPORTS.ensure(NOW, NOW)
    assert f"csp_report_p{suffix}" not in REPORTS.drop_before(NOW)


def test_one_partition_is_dropped_by_its_first_moment() -> None:
    days = [datetime(2001, 2, day, tzinfo=UTC) for day in (3, 4)]
    REPORTS.ensure(*days)
    REPORTS.drop(days[0])
    assert [day in REPORTS.starts() for day in days] == [False, True]
