"""Rejected tokens cost little and do not lock out valid ones."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.support.api.client import APIClient
from tests.support.api.sending import count_rejected_tokens
from tests.support.concurrency import closing, locked_keys
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


def test_malformed_token_is_not_counted() -> None:
    for _ in range(5):
        assert APIClient().get(PATH, {"coder_session_token": "x"}).status_code == 401

    assert count_rejected_tokens() == 0


def test_valid_token_works_from_an_address_with_many_rejected_ones() -> None:
    good = make_key(make_user()).token
    count_rejected_tokens(300)

    assert ask(good).status_code == 200
    assert ask(unknown(1)).status_code == 401


def test_public_route_ignores_tokens(django_assert_num_queries: Any) -> None:
    suspended = make_key(make_user(status="suspended")).token
    APIClient().get("/api/v2/buildinfo")

    with django_assert_num_queries(0):
        for token in (unknown(1), suspended, "x"):
            for path in ("/", "/buildinfo", "/users/authmethods"):
                assert APIClient(token=token).get(f"/api/v2{path}").status_code == 200

    assert count_rejected_tokens() == 0


def test_rejected_token_is_looked_up_once(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        answers = [ask(unknown(1)) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert count_rejected_tokens() == 1


def test_rejected_tokens_count_for_the_ipv6_network() -> None:
    network = "2001:db8:1::/48"
    before = count_rejected_tokens(1198, address=network)
    answer = APIClient(token=unknown(4)).get(PATH, REMOTE_ADDR="2001:db8:1:2::1")
    assert answer.status_code == 401
    assert count_rejected_tokens(address=network) == before + 1
    assert caller._turn(network) == ""
    count_rejected_tokens(1, address=network)
    assert caller._turn(network) == network


@pytest.mark.django_db(transaction=True)
def test_past_300_unknown_tokens_wait_for_each_other_and_are_429_after_a_second() -> None:
    remembered = unknown(1)
    ask(remembered)
    count_rejected_tokens(300)

    first = threading.Thread(target=closing(lambda: ask(unknown(2))))
    with locked_keys() as count:
        first.start()
        wait_for(lambda: count() == 1)
        answer = ask(unknown(3))
        at_once = ask(remembered)
    first.join()

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert at_once.status_code == 401
    assert ask(unknown(3)).status_code == 401
