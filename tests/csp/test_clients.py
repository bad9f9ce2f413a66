"""Client hashes: told apart within a day, and by nobody once the day's key is gone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from csp import services
from csp.models import ClientKey, Report
from csp.writing import entries as clients
from tests.support.client import APIClient
from tests.support.csp_reports import fresh_writer, legacy, send

pytestmark = pytest.mark.django_db(transaction=True)

FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)
ADDRESS = "203.0.113.7"


def test_client_is_another_one_the_next_day() -> None:
    one = clients.client_of(ADDRESS, FIRST)
    assert len(one) == 16
    assert one == clients.client_of(ADDRESS, FIRST)
    assert one != clients.client_of(ADDRESS, SECOND)
    assert one != clients.client_of("203.0.113.8", FIRST)


def test_day_has_one_key_in_all_processes() -> None:
    clients.forget_keys()
    drawn = clients.key_of(FIRST)
    clients.forget_keys()
    assert clients.key_of(FIRST) == drawn == bytes(ClientKey.objects.get(day=FIRST).key)


def test_unknown_address_says_nothing_but_the_day() -> None:
    assert clients.client_of("", FIRST) == b"2026-01-01"
    assert not ClientKey.objects.exists()


def test_keys_of_past_days_are_forgotten_and_the_hashes_stay(member: APIClient) -> None:
    clients.forget_keys()
    with fresh_writer():
        assert send(member, legacy()).status_code == 200
    today = datetime.now(tz=UTC)
    services.prune_reports(today)
    assert ClientKey.objects.count() == 1
    services.prune_reports(today + timedelta(days=2))
    assert not ClientKey.objects.exists()
    assert len(Report.objects.get().client) == 16
