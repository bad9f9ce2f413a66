"""The exit statuses of commands.

The exit status is 0 for success, 1 for a failure or a negative result, and 2 for a wrong command
line. After a signal it is 128 plus the signal's number. If the output's reader closes the pipe
early, as `head` does, the status is the same as after SIGPIPE.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO

FAILED, MISUSED = 1, 2
READER_LEFT = 128 + signal.SIGPIPE
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# The signals that are ending this process.
_received: list[int] = []


def exit_on_signals() -> None:
    """Makes the first SIGINT, SIGTERM or SIGHUP end this process, after its exit handlers.

    SIGINT raises KeyboardInterrupt, and the others SystemExit. Later signals are ignored, so that
    none interrupts the end. As process 1 of a container, a process without handlers would ignore
    these signals. Signals that are ignored stay ignored.
    """
    for signum in ENDING:
        if signal.getsignal(signum) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(signum, _end)
    sys.excepthook = _show_unless_ending
    sys.unraisablehook = _raise_again
    # bin/coderapi blocks SIGINT until now.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def ignore_signals() -> None:
    """Ignores all signals that end a process, so that none interrupts the exit handlers."""
    # SIGALRM raises an exception again.
    for signum in (*ENDING, signal.SIGALRM):
        signal.signal(signum, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    ignore_signals()
    _received.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _show_unless_ending(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not _received:
        sys.__excepthook__(kind, error, trace)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    """Raises the exception of a signal again if it was raised where Python ignores exceptions.

    For example, Python does so in the callback of a weak reference. In an exit handler, the process
    ends anyway, and the other handlers must not be interrupted.
    """
    if not _received or unraisable.exc_type not in {KeyboardInterrupt, SystemExit}:
        sys.__unraisablehook__(unraisable)
    elif "atexit" not in (unraisable.err_msg or ""):
        signal.signal(signal.SIGALRM, lambda *_: _end(_received[0], None))
        signal.setitimer(signal.ITIMER_REAL, 0.001)


@atexit.register
def _end_with_status() -> None:
    # This module is imported first, so this is the last exit handler.
    if _received:
        with suppress(OSError):
            sys.stdout.flush()
            os.write(2, b"Stopped\n")
        # An error while the process ended may have changed the status.
        os._exit(128 + _received[0])


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
