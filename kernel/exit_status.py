"""The exit statuses of commands.

The exit status is 0 for success, 1 for a failure or a negative result, and 2 for a wrong command
line. After a signal it is 128 plus the signal's number. If the output's reader closes the pipe
early, as `head` does, the status is the same as after SIGPIPE.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

FAILED, MISUSED = 1, 2
READER_LEFT = 128 + signal.SIGPIPE


def exit_on_signals() -> None:
    """Makes SIGTERM and SIGHUP raise SystemExit, so that exit handlers run.

    As process 1 of a container, a process without handlers would ignore these signals. Signals that
    are ignored stay ignored.
    """
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, lambda number, _: sys.exit(128 + number))


def ignore_signals() -> None:
    """Ignores all signals that end a process, so that none interrupts the exit handlers."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


@contextmanager
def ending_with_the_reader(program: str) -> Iterator[None]:
    """Ends the process without a message if the reader of its output has closed the pipe.

    For example, `head` does this.
    """
    try:
        try:
            yield
        finally:
            # Without this, Python would flush the output at exit, and print an error.
            sys.stdout.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in unread:
            os.dup2(nowhere, stream.fileno())
        sys.exit(READER_LEFT)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"{program}: the output cannot be written: {error.strerror}")


def _is_unread(stream: IO[str]) -> bool:
    """Returns whether the reader of the stream has closed it."""
    look = select.poll()
    look.register(stream.fileno(), 0)
    return any(events & select.POLLERR for _, events in look.poll(0))
