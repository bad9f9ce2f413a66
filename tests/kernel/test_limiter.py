"""A limiter: its limits for all callers and for one caller, and its timeout."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import limiter as module
from kernel.limiter import Limiter, LimitReachedError, Slot
from tests.support.processes import DEADLINE_SECONDS, wait_for


@contextmanager
def refused(*, is_per_caller: bool) -> Iterator[None]:
    with pytest.raises(LimitReachedError) as caught:
        yield
    assert caught.value.is_per_caller is is_per_caller


@contextmanager
def waiting(limiter: Limiter, caller: str = "") -> Iterator[list[Slot]]:
    """Starts a thread that waits for a slot. When it gets the slot, the list contains it."""
    slots: list[Slot] = []
    thread = threading.Thread(
        target=lambda: slots.append(limiter.acquire(caller, timeout=DEADLINE_SECONDS))
    )
    before = limiter.waiting
    thread.start()
    wait_for(lambda: limiter.waiting == before + 1)
    yield slots
    thread.join(30)


def test_limits_hold_for_one_caller_and_in_all() -> None:
    limiter = Limiter("searches", limit=3, per_caller=2, full="all", own_full="own")
    with limiter.hold("a") as _, limiter.hold("a"):
        with refused(is_per_caller=True):
            limiter.acquire("a")
        with limiter.hold("b"), refused(is_per_caller=False):
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


def test_released_place_goes_to_the_first_caller_that_may_have_it() -> None:
    limiter = Limiter("bodies", limit=2, per_caller=1)
    first, second = limiter.acquire("a"), limiter.acquire("b")
    with waiting(limiter, "b") as same_caller, waiting(limiter, "c") as other:
        limiter.release(first)
        wait_for(lambda: other)
        assert not same_caller
        limiter.release(second)


def test_queue_is_bounded() -> None:
    limiter = Limiter("hashing", limit=1, queue=1)
    slot = limiter.acquire("a")
    with waiting(limiter, "b"):
        with refused(is_per_caller=False):
            limiter.acquire("c", timeout=DEADLINE_SECONDS)
        limiter.release(slot)


def test_after_a_wait_in_which_nothing_was_served_callers_are_refused_at_once() -> None:
    limiter = Limiter("bodies", limit=1, stuck_seconds=0)
    slot = limiter.acquire("a")
    for timeout in (0.01, DEADLINE_SECONDS):
        with refused(is_per_caller=False):
            limiter.acquire("b", timeout=timeout)
    limiter.release(slot)
    limiter.acquire("a")


def test_waiting_helps_again_after_a_place_was_served() -> None:
    limiter = Limiter("bodies", limit=2, stuck_seconds=0)
    _, short = limiter.acquire("a"), limiter.acquire("b")
    with refused(is_per_caller=False):
        limiter.acquire("c", timeout=0.01)
    limiter.stuck_seconds = DEADLINE_SECONDS
    limiter.release(short)
    short = limiter.acquire("c")
    with waiting(limiter, "d") as slots:
        limiter.release(short)
        wait_for(lambda: slots)


def test_caller_whose_wait_failed_is_refused_at_once_and_others_are_not() -> None:
    limiter = Limiter("bodies", limit=2, per_caller=1, stuck_seconds=0)
    with limiter.hold("a"):
        for timeout in (0.01, DEADLINE_SECONDS):
            with refused(is_per_caller=True):
                limiter.acquire("a", timeout=timeout)
        limiter.acquire("b")


def test_busy_limiter_never_refuses_at_once() -> None:
    """The wait of one caller times out, but other callers get slots during that time."""
    limiter = Limiter("bodies", limit=2)
    long, short = limiter.acquire("a"), limiter.acquire("b")
    with waiting(limiter, "c") as slots:
        limiter.release(short)
        wait_for(lambda: slots)
    with refused(is_per_caller=False):
        limiter.acquire("d", timeout=0.01)
    limiter.release(long)
    limiter.acquire("e")


def test_after_a_block_that_timed_out_only_free_places_are_given() -> None:
    limiter = Limiter("reports", limit=2, stuck_seconds=0)
    with limiter.hold():
        with pytest.raises(TimeoutError), limiter.hold():
            raise TimeoutError
        with limiter.hold(), refused(is_per_caller=False):
            limiter.acquire(timeout=DEADLINE_SECONDS)
    with limiter.hold(), limiter.hold():
        pass


def call_at_line(number: int, action: Callable[[], object]) -> Any:
    """Makes a trace function that calls the action before that line of the limiter's code."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != module.__file__:
            return None
        lines += event == "line"
        if event == "line" and lines == number:
            action()
        return trace

    return trace


def test_garbage_collector_may_release_a_place_at_any_line() -> None:
    """If a streamed answer is dropped, the garbage collector releases its slot, in any thread."""
    line, was_reached = 0, True
    while was_reached:
        line += 1
        limiter = Limiter("streams", limit=9, per_caller=2)
        slot = limiter.acquire("a")
        released: list[Slot] = []

        def collect(
            limiter: Limiter = limiter, slot: Slot = slot, released: list[Slot] = released
        ) -> None:
            limiter.release(slot)
            released.append(slot)

        before = sys.gettrace()
        sys.settrace(call_at_line(line, collect))
        try:
            with limiter.hold("a"):
                pass
        finally:
            sys.settrace(before)
        was_reached = bool(released)
        if not was_reached:
            collect()
        with limiter.hold("a"), limiter.hold("a"), refused(is_per_caller=True):
            limiter.acquire("a")
    assert line > 20
