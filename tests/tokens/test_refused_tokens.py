"""Rejected tokens cost little and do not lock out valid ones."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection

from kernel.db.connections import connect_directly
from kernel.http.steps.rate_limit import shared_counter
from tests.support.api.client import APIClient
from tests.support.factories import make_key, make_user
from tests.support.processes import wait_for
from tokens.verification import caller

PATH = "/api/v2/deployment/ssh"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("same_minute")]


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Any) -> None:
    settings.API_RATE_LIMIT = None


def unknown(number: int) -> str:
    return f"{number:010}-{'a' * 22}"


def ask(token: str) -> Any:
    return APIClient(token=token).get(PATH)


def refused() -> int:
    """Returns how many rejected tokens of this address count in this minute."""
    return shared_counter().add("refused:127.0.0.1", int(time.time()) // 60, 0)


def refuse_300() -> None:
    """Counts 300 rejected tokens, as the step would for 300 requests."""
    shared_counter().add("refused:127.0.0.1", int(time.time()) // 60, 300)


def test_malformed_token_is_not_counted() -> None:
    for _ in range(5):
        assert APIClient().get(PATH, {"coder_session_token": "x"}).status_code == 401

    assert refused() == 0


def test_public_route_ignores_tokens(django_assert_num_queries: Any) -> None:
    suspended = make_key(make_user(status="suspended")).token
    APIClient().get("/api/v2/buildinfo")

    with django_assert_num_queries(0):
        for token in (unknown(1), suspended, "x"):
            for path in ("/", "/buildinfo", "/users/authmethods"):
                assert APIClient(token=token).get(f"/api/v2{path}").status_code == 200

    assert refused() == 0


def test_rejected_token_is_looked_up_once(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        answers = [ask(unknown(1)) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert refused() == 1


def test_valid_token_works_from_an_address_with_many_rejected_ones() -> None:
    good = make_key(make_user()).token
    refuse_300()

    assert ask(good).status_code == 200
    assert ask(unknown(1)).status_code == 401


def test_rejected_tokens_count_for_the_ipv6_network() -> None:
    address, minute = "2001:db8:1:2::1", int(time.time()) // 60
    name = "refused:2001:db8:1::/48"
    before = shared_counter().add(name, minute, 1198)
    assert APIClient(token=unknown(4)).get(PATH, REMOTE_ADDR=address).status_code == 401
    assert shared_counter().add(name, minute, 0) == before + 1
    assert caller._turn("2001:db8:1:9::1") == ""
    shared_counter().add(name, minute)
    assert caller._turn("2001:db8:1:9::1") == name


@pytest.mark.django_db(transaction=True)
def test_past_300_unknown_tokens_wait_for_each_other_and_are_429_after_a_second() -> None:
    remembered = unknown(1)
    ask(remembered)
    refuse_300()

    def look_up() -> None:
        try:
            ask(unknown(2))
        finally:
            connection.close()

    first = threading.Thread(target=look_up)
    with connect_directly() as other, other.transaction():
        other.execute("LOCK TABLE tokens_apikey IN ACCESS EXCLUSIVE MODE")
        first.start()
        wait_for(lambda: _waiting(other) == 1)
        answer = ask(unknown(3))
        at_once = ask(remembered)
    first.join()

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert at_once.status_code == 401
    assert ask(unknown(3)).status_code == 401


def _waiting(other: Any) -> int:
    """Returns how many sessions wait for the locked table."""
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tokens_apikey'::regclass"
    return int(other.execute(sql).fetchone()[0])
