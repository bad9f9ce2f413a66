"""Few threads wait for the database at a time; the others wait a moment, or are refused."""

from __future__ import annotations

import threading

import pytest

from kernel.db import waiting
from kernel.db.waiting import Places, TooManyWaitError, held


def test_beyond_the_places_a_wait_is_short() -> None:
    places = Places(1)
    with places.taken(5) as first, places.taken(5) as second:
        assert (first, second) == (5, waiting.SHORT_SECONDS)
    with places.taken(5) as again:
        assert again == 5


@pytest.fixture
def all_waits_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SHORT_SECONDS", 0)


@pytest.mark.usefixtures("all_waits_are_long")
def test_after_a_wait_in_vain_only_the_places_are_given_until_a_wait_is_quick() -> None:
    places = Places(1)
    with pytest.raises(TimeoutError), places.taken(5):
        raise TimeoutError
    with places.taken(5), pytest.raises(TooManyWaitError), places.taken(5):
        pytest.fail("it was let in")
    with places.taken(5), places.taken(5) as patience:
        assert patience == 0


def test_an_error_that_comes_at_once_is_no_wait() -> None:
    places = Places(1)
    with pytest.raises(ZeroDivisionError), places.taken(5):
        raise ZeroDivisionError
    with places.taken(5), places.taken(5):
        pass


def test_who_waits_for_a_lock_gives_up() -> None:
    lock = threading.Lock()
    with held(lock), pytest.raises(TooManyWaitError), held(lock, seconds=0.01):
        pytest.fail("it was let in")
    with held(lock):
        assert lock.locked()
    assert not lock.locked()
