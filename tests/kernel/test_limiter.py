"""One limiter bounds whatever may wait: in all, for one caller, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import limiter as module
from kernel.limiter import Limiter, LimitReachedError, Place
from tests.support.processes import wait_for


@contextmanager
def refused(*, is_own: bool) -> Iterator[None]:
    with pytest.raises(LimitReachedError) as caught:
        yield
    assert caught.value.is_own is is_own


@contextmanager
def waiting(limiter: Limiter, caller: str = "") -> Iterator[list[Place]]:
    """A thread that waits for a place and keeps it. Yields the place once it is given."""
    places: list[Place] = []
    thread = threading.Thread(target=lambda: places.append(limiter.acquire(caller, timeout=30)))
    before = len(limiter._waiting)
    thread.start()
    wait_for(lambda: len(limiter._waiting) == before + 1)
    yield places
    thread.join(30)


def test_limits_hold_for_one_caller_and_in_all() -> None:
    limiter = Limiter("searches", limit=3, per_caller=2, full="all", own_full="own")
    with limiter.hold("a") as _, limiter.hold("a"):
        with refused(is_own=True):
            limiter.acquire("a")
        with limiter.hold("b"), refused(is_own=False):
            limiter.acquire("c")
    with limiter.hold("c"):
        pass


@given(callers=st.lists(st.sampled_from("abc"), max_size=12))
def test_no_order_of_callers_exceeds_a_limit(callers: list[str]) -> None:
    limiter = Limiter("searches", limit=4, per_caller=2)
    held: list[str] = []
    with ExitStack() as stack:
        for caller in callers:
            has_room = len(held) < 4 and held.count(caller) < 2
            try:
                stack.enter_context(limiter.hold(caller))
            except LimitReachedError:
                assert not has_room
            else:
                assert has_room
                held.append(caller)
    assert not limiter._shares
    assert limiter.seconds_of_oldest() == 0


def test_amounts_count_against_the_limit() -> None:
    limiter = Limiter("reports", limit=10)
    with limiter.hold(amount=8), refused(is_own=False):
        limiter.acquire(amount=3)


def test_released_place_goes_to_the_first_caller_that_may_have_it() -> None:
    limiter = Limiter("bodies", limit=2, per_caller=1)
    first = limiter.acquire("a")
    limiter.acquire("b")
    with waiting(limiter, "b") as same_caller, waiting(limiter, "c") as other:
        limiter.release(first)
        wait_for(lambda: other)
        assert not same_caller
        limiter.release(next(place for place in limiter._places if place.caller == "b"))


def test_queue_is_bounded() -> None:
    limiter = Limiter("hashing", limit=1, queue=1)
    place = limiter.acquire("a")
    with waiting(limiter, "b"):
        with refused(is_own=False):
            limiter.acquire("c", timeout=30)
        limiter.release(place)


def test_after_a_wait_that_nothing_ended_callers_are_refused_at_once() -> None:
    limiter = Limiter("bodies", limit=1)
    place = limiter.acquire("a")
    with refused(is_own=False):
        limiter.acquire("b", timeout=0.01)
    with refused(is_own=False):
        limiter.acquire("b", timeout=30)
    # A place that is given back shows that waiting helps again.
    limiter.release(place)
    place = limiter.acquire("a")
    with waiting(limiter, "b") as places:
        limiter.release(place)
        wait_for(lambda: places)


def test_caller_who_waited_for_nothing_is_refused_at_once_and_others_are_not() -> None:
    limiter = Limiter("bodies", limit=2, per_caller=1)
    limiter.acquire("a")
    with refused(is_own=True):
        limiter.acquire("a", timeout=0.01)
    with refused(is_own=True):
        limiter.acquire("a", timeout=30)
    limiter.acquire("b")


def test_busy_limiter_never_refuses_at_once() -> None:
    """One caller waits too long, but places are given back meanwhile."""
    limiter = Limiter("bodies", limit=2)
    long, short = limiter.acquire("a"), limiter.acquire("b")
    with waiting(limiter, "c") as places:
        limiter.release(short)
        wait_for(lambda: places)
    with refused(is_own=False):
        limiter.acquire("d", timeout=0.01)
    limiter.release(long)
    limiter.acquire("e")


class Event:
    """Something to wait for, which happens at the third look. Calls `meanwhile` at each look."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.looks = 0
        self.meanwhile = meanwhile

    def acquire(self, *, timeout: float) -> bool:
        self.looks += 1
        self.meanwhile()
        return self.looks == 3


@pytest.fixture
def any_wait_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.0)


@pytest.mark.usefixtures("any_wait_is_long")
def test_only_the_reserve_waits_on_while_nothing_is_served() -> None:
    limiter = Limiter("reports", reserve=1)
    with limiter.hold() as first, limiter.hold() as second:
        assert not limiter.wait(second, Event(lambda: None), timeout=30)
        assert limiter.wait(first, Event(lambda: None), timeout=30)


def test_callers_wait_on_while_others_are_served() -> None:
    limiter = Limiter("reports")
    with limiter.hold() as place:
        serve = Event(lambda: limiter.release(limiter.acquire()))
        assert limiter.wait(place, serve, timeout=30)
        assert not limiter.wait(place, serve, timeout=0)


@pytest.mark.usefixtures("any_wait_is_long")
def test_after_a_block_that_waited_for_nothing_only_the_reserve_is_given() -> None:
    limiter = Limiter("reports", reserve=1)
    with limiter.hold():
        with pytest.raises(TimeoutError), limiter.hold():
            raise TimeoutError
        with refused(is_own=False):
            limiter.acquire()
    with limiter.hold(), limiter.hold():
        pass


@pytest.mark.usefixtures("any_wait_is_long")
def test_nobody_is_refused_at_once_when_the_last_one_has_stopped_waiting() -> None:
    limiter = Limiter("reports", reserve=1)
    with pytest.raises(TimeoutError), limiter.hold():
        raise TimeoutError
    with limiter.hold(), limiter.hold():
        pass


def test_error_that_is_raised_soon_is_not_a_wait() -> None:
    limiter = Limiter("reports", reserve=1)
    with pytest.raises(ZeroDivisionError), limiter.hold():
        raise ZeroDivisionError
    with limiter.hold(), limiter.hold():
        pass
