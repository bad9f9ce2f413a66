"""Loops that run until a signal arrives."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from coderapi.server.signals import run_until_signalled
from tests.support.processes import DEADLINE_SECONDS


def test_a_signal_ends_the_loop_between_two_runs() -> None:
    seen: list[str] = []

    def loop(stop: threading.Event) -> None:
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM)).start()
        assert stop.wait(DEADLINE_SECONDS)
        seen.append("finished")

    run_until_signalled(loop)
    assert seen == ["finished"]


def test_exception_of_the_loop_is_raised() -> None:
    def loop(stop: threading.Event) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_until_signalled(loop)
