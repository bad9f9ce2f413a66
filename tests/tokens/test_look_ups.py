"""Keys that are looked up at the same time are read with one statement."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from kernel.db import listener
from kernel.db.connections import DatabaseBusyError, connect_directly
from kernel.http.errors import APIError
from tests.support.api.asking import begun
from tests.support.api.client import APIClient
from tests.support.api.sending import count_rejected_tokens
from tests.support.concurrency import locked_keys
from tests.support.factories import make_key, make_user
from tests.support.processes import DEADLINE_SECONDS, wait_for
from tokens.models import APIKey
from tokens.token_format import TokenParts, split
from tokens.verification import batches, caller, providers, refusals
from tokens.verification.batches import Found, LookUps, Wanted
from tokens.verification.caller import recall
from tokens.verification.keys import LOOKUPS, fingerprint_of
from users.permissions import KeyIdentity

SSH = "/api/v2/deployment/ssh"


def wanted(number: int, turn: str = "") -> Wanted:
    return to_look_up(TokenParts(f"{number:010}", "a" * 22), "192.0.2.1", turn)


def to_look_up(parts: TokenParts, address: str = "", turn: str = "") -> Wanted:
    return Wanted(parts, fingerprint_of(parts.token), timezone.now(), address, turn)


class Database:
    """Answers lookups when `go` is set. Records the batches as lists of numbers."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.error: Exception | None = None
        self.look_ups = LookUps(self.read)

    def read(self, batch: Sequence[Wanted]) -> list[Found]:
        self.batches.append([int(each.parts.key_id) for each in batch])
        assert self.go.wait(DEADLINE_SECONDS)
        if self.error:
            raise self.error
        return [APIError(int(each.parts.key_id), "") for each in batch]


def waiting(database: Database, *others: Wanted) -> list[Future[Found]]:
    """Looks up key 1. While it is read, looks up the others."""
    futures = [database.look_ups.ask(wanted(1))]
    wait_for(lambda: database.batches)
    return [*futures, *map(database.look_ups.ask, others)]


def answered(database: Database, *others: Wanted) -> list[int]:
    """Lets the database answer these lookups. Returns their statuses."""
    futures = waiting(database, *others)
    database.go.set()
    return statuses(futures)


def statuses(futures: Sequence[Future[Found]]) -> list[int]:
    return [getattr(future.result(30), "status", 0) for future in futures]


def test_keys_that_arrive_during_a_statement_are_read_with_the_next_one() -> None:
    database = Database()
    assert answered(database, *map(wanted, range(2, 12))) == list(range(1, 12))
    assert database.batches == [[1], list(range(2, 12))]


def test_statement_reads_one_key_of_each_turn() -> None:
    database = Database()
    others = [wanted(2, "a"), wanted(3, "a"), wanted(4, "b"), wanted(5), wanted(6, "a"), wanted(7)]
    assert answered(database, *others) == list(range(1, 8))
    assert database.batches == [[1], [2, 4, 5, 7], [3], [6]]


def test_error_of_a_batch_reaches_each_of_its_requests() -> None:
    database = Database()
    database.error = OperationalError("the server is away")
    assert answered(database, wanted(2), wanted(3)) == [503] * 3
    database.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        database.look_ups.ask(wanted(4)).result(30)
    database.error = None
    assert statuses([database.look_ups.ask(wanted(5))]) == [5]


def test_keys_are_read_in_the_same_thread_again() -> None:
    """Otherwise, an event loop would wait for the start of each thread."""
    threads: list[threading.Thread] = []

    def read(batch: Sequence[Wanted]) -> list[Found]:
        threads.append(threading.current_thread())
        return [APIError(404, "") for _ in batch]

    found = LookUps(read)
    for number in range(5):
        assert statuses([found.ask(wanted(number))]) == [404]
        wait_for(lambda: not found._is_reading)
    assert len(threads) == 5
    assert len({id(thread) for thread in threads}) == 1


def test_frozen_database_ends_all_waits_and_rejects_others_at_once() -> None:
    database = Database()
    database.look_ups = LookUps(database.read, stuck_seconds=0.0)
    database.error = OperationalError("no response")
    assert answered(database, wanted(2), wanted(3, "a"), wanted(4, "a")) == [503] * 4
    assert database.batches == [[1]]
    database.go.clear()
    trial = database.look_ups.ask(wanted(5))
    assert isinstance(database.look_ups.ask(wanted(6)).exception(0), DatabaseBusyError)
    database.error = None
    database.go.set()
    assert statuses([trial]) == [5]
    assert statuses([database.look_ups.ask(wanted(7))]) == [7]


def test_request_that_gave_up_is_not_read() -> None:
    database = Database()
    waiting(database, wanted(2))
    assert database.look_ups.ask(wanted(3)).cancel()
    database.go.set()
    wait_for(lambda: database.batches == [[1], [2]])


class Other:
    """Another service. Knows no token. While it is asked for its limits, all lookups go on."""

    known_seconds = 0.0

    def __init__(self) -> None:
        self.ended = threading.Event()

    @property
    def new_seconds(self) -> float:
        if providers._asked:
            self.ended.wait(DEADLINE_SECONDS)
        return DEADLINE_SECONDS

    def recall(self, fingerprint: bytes) -> None:
        return None

    known = recall

    def look_up(self, *_: object) -> Found:
        return APIError(404, "")

    def too_slow(self) -> APIError:
        self.ended.set()
        return APIError(503, "")


def test_lookup_that_begins_at_once_is_not_late() -> None:
    other: Any = Other()
    found, _ = providers.ask(other, wanted(1))
    assert statuses([found]) == [404]


# --- With PostgreSQL ----------------------------------------------------------------------------


def ask(token: str) -> int:
    try:
        return int(APIClient(token=token).get(SSH).status_code)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("connected")
def test_requests_with_new_keys_share_a_statement() -> None:
    tokens = [make_key(make_user()).token for _ in range(6)]
    suspended = make_key(make_user(status="suspended")).token
    wrong = f"{tokens[0][:11]}{'x' * 22}"
    unknown = f"{'0' * 10}-{'x' * 22}"
    with ThreadPoolExecutor(12) as pool:
        with locked_keys() as count:
            first = pool.submit(ask, tokens[0])
            wait_for(lambda: count() == 1)
            # Two requests have the same token.
            others = [*tokens[1:], suspended, wrong, unknown, tokens[1]]
            found = [pool.submit(ask, token) for token in others]
            wait_for(lambda: len(LOOKUPS._waiting) == len(others))
            assert count() == 1
        assert [future.result() for future in [first, *found]] == [200] * 6 + [401] * 3 + [200]
    known = [recall(fingerprint_of(token), now=timezone.now()) for token in tokens]
    assert all(isinstance(each, KeyIdentity) for each in known)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("connected")
def test_key_that_is_revoked_while_it_is_read_is_not_cached() -> None:
    token = make_key(make_user()).token
    with ThreadPoolExecutor(1) as pool:
        with locked_keys() as count:
            found = pool.submit(ask, token)
            wait_for(lambda: count() == 1)
            listener.dispatch(f"key:{token[:10]}")
        assert found.result() == 200
    assert recall(fingerprint_of(token), now=timezone.now()) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("same_minute")
def test_event_loop_gets_the_caller_as_a_future() -> None:
    before = count_rejected_tokens(address="192.0.2.1")
    user = make_user()
    tokens = make_key(user).token, f"{'0' * 10}-{'x' * 22}"
    known, unknown = begun(*[(token, "192.0.2.1") for token in tokens])
    assert known.identity
    assert (known.identity.user_id, known.refusal) == (user.id, None)
    assert unknown.refusal
    assert unknown.refusal.detail == refusals.unknown().detail
    assert count_rejected_tokens(address="192.0.2.1") == before + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turns", [False, True], ids=["503", "429"])
def test_wait_is_bounded(turns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LOOK_UP_SECONDS", 0.3)
    monkeypatch.setattr(caller, "TURN_SECONDS", 0.2)
    monkeypatch.setattr(caller, "MAX_REFUSED", 0 if turns else 300)
    tokens = [make_key(make_user()).token for _ in range(2)]
    with locked_keys():
        found = begun(*[(token, "192.0.2.1") for token in tokens])
    expected = 429 if turns else 503
    assert [each.refusal.status for each in found if each.refusal] == [expected, expected]


@pytest.mark.django_db(transaction=True)
def test_look_up_goes_on_when_an_event_loop_gives_up() -> None:
    token = make_key(make_user()).token
    parts = split(token)
    assert parts
    with locked_keys() as count:
        future = LOOKUPS.ask(to_look_up(parts))
        wait_for(lambda: count() == 1)
        assert not future.cancel()
    assert isinstance(future.result(30), KeyIdentity)


def test_uses_are_written_when_no_key_waits() -> None:
    database, idle = Database(), list[int]()
    database.look_ups = LookUps(database.read, lambda: idle.append(len(database.batches)))
    assert answered(database, wanted(2)) == [1, 2]
    wait_for(lambda: idle == [2])


@pytest.mark.django_db(transaction=True)
def test_request_does_not_wait_until_the_use_of_its_key_is_written() -> None:
    new = make_key(make_user(), used=False)
    parts = split(new.token)
    assert parts
    with connect_directly() as other:
        with other.transaction():
            other.execute("LOCK TABLE tokens_apikey IN SHARE MODE")
            future = LOOKUPS.ask(to_look_up(parts))
            assert isinstance(future.result(30), KeyIdentity)
            assert not APIKey.objects.filter(pk=new.key.pk, last_used__isnull=False).exists()
        wait_for(lambda: APIKey.objects.filter(pk=new.key.pk, last_used__isnull=False).exists())
