"""Parses the lines of an import in as many processes as the machine has cores.

The command itself parses the first lines, so that a small file needs no other processes. The other
processes are forks of the command, because importing the code again would take as long as parsing
thousands of lines.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor

from django.db import connection

from csp.importing.items import Contents, Terms, parse_lines

PROCESSES = os.cpu_count() or 1
# One more batch than processes, so that no process waits while the oldest batch is committed.
MAX_PARSING = PROCESSES + 1
LINES_BEFORE_PROCESSES = 1_000


class Parser:
    """Parses batches of lines."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._lines = 0
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def parse(self, texts: Sequence[bytes]) -> Contents:
        return parse_lines(texts, self._terms)

    def start(self, texts: Sequence[bytes]) -> Future[Contents]:
        """Starts to parse the lines."""
        self._lines += len(texts)
        if self._lines <= LINES_BEFORE_PROCESSES:
            parsed = Future[Contents]()
            parsed.set_result(self.parse(texts))
            return parsed
        if self._pool is None:
            # A process should not have threads when it forks. Django opens the pool of connections
            # again when it needs a connection.
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]
            context = multiprocessing.get_context("fork")
            self._pool = ProcessPoolExecutor(PROCESSES, context, initializer=_follow_the_command)
        # The first call of `submit` starts the processes, which inherit the signal mask. Ctrl-C in
        # a terminal reaches all processes, but only the command must react to it. Python would
        # ignore the exception of a signal that arrives during a fork.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return self._pool.submit(parse_lines, texts, self._terms)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _follow_the_command() -> None:
    """Makes this process end with the command, even if the command is killed."""
    threading.Thread(target=_wait_for_the_command, daemon=True).start()


def _wait_for_the_command() -> None:
    if command := multiprocessing.parent_process():
        command.join()
        os._exit(1)
