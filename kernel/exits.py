"""The exit statuses of commands.

The exit status is 0 for success, 1 for a failure or a negative result, and 2 for a wrong command
line. After a signal it is 128 plus the signal's number. If the output's reader closes the pipe
early, as `head` does, the status is the same as after SIGPIPE.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FAILED, MISUSED = 1, 2
READER_LEFT = 128 + signal.SIGPIPE


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
        # Python flushes the output again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_LEFT)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"{program}: the output cannot be written: {error.strerror}")
