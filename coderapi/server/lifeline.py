"""The pipe from the supervisor to a child: its orders, then nothing until the supervisor is gone.

Orders hold secrets, so they are neither in a child's arguments nor in its environment. The pipe's
end comes however the supervisor ended, so no child outlives it for long.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import IO, Any

# A child that has not finished in this time after the supervisor's end is killed.
ORPHAN_SECONDS = 25.0

type Orders = dict[str, Any]


def hand_down(pipe: IO[bytes], orders: Orders) -> None:
    """Gives a child its orders; the pipe stays open. Raises: OSError when the child is gone."""
    pipe.write(json.dumps(orders).encode() + b"\n")
    pipe.flush()


def take_over() -> Orders:
    """The orders that came through standard input, which is watched from now on."""
    # Unbuffered: a buffered reader's lock would be held by the watching thread at exit.
    pipe = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115
    line = pipe.readline()
    if not line:
        sys.exit("This program is started by `manage.py server`.")
    threading.Thread(target=_watch, args=(pipe,), name="lifeline", daemon=True).start()
    orders: Orders = json.loads(line)
    return orders


def _watch(pipe: IO[bytes]) -> None:
    while pipe.read(1):
        pass
    end_soon()


def end_soon(seconds: float = ORPHAN_SECONDS) -> None:
    """Asks this process to end, and after a while ends it and those it leads. Does not return."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
