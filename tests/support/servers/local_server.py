"""A server of the standard library that answers in a thread while a test runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer


@contextmanager
def answering[S: BaseServer](server: S) -> Iterator[S]:
    """Answers requests until the end of the block, and closes the server."""
    with server:
        # `shutdown` waits for the end of a poll, which takes half a second by default.
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
