"""Loops: turns, pauses, and failures until a success."""

from __future__ import annotations

import threading

import pytest

from kernel.failures import Failures
from kernel.loops import Backoff, repeat

FOR_EVER = 10_000.0


@pytest.mark.parametrize("pause", [0.0, None])
def test_turns_repeat_until_the_stop_which_ends_a_wait(pause: float | None) -> None:
    stop, turns = threading.Event(), []

    def turn() -> float | None:
        turns.append(1)
        if len(turns) == 3:
            # The event is set while the loop waits for its next turn, or just before.
            threading.Thread(target=stop.set).start()
            return FOR_EVER
        return pause

    repeat(turn, every=0, stop=stop)
    assert len(turns) == 3


def test_delays_double_and_start_again_after_a_long_try() -> None:
    backoff = Backoff(first=1, longest=5, settled=60)
    assert [backoff.after(lived) for lived in (0, 0, 0, 0, 59, 60, 0)] == [1, 2, 4, 5, 5, 1, 2]


def test_failures_are_remembered_until_a_success(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    failures = Failures("A tea pot fails: %s", "The tea pot responds again.")
    begun = failures.add("broken lid")
    assert failures.add("broken lid") == failures.add("no water") == begun == failures.since
    assert (failures.count, failures.reason) == (3, "no water")
    for _ in range(2):
        failures.end()
    assert [failures.count, failures.reason, failures.since] == [0, "", None]
    lines = ["A tea pot fails: broken lid", "A tea pot fails: no water"]
    assert caplog.messages == [*lines, "The tea pot responds again."]
