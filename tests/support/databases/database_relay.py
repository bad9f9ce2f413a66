"""A relay before the socket of PostgreSQL, which breaks connections or stops passing data."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import pytest
from django.db import connection


class Between:
    """After `break_next`, breaks the next connection that sends data with the pattern.

    With `pass_on` the server receives the data, but its answer is lost. With `hangs` no data passes
    on any connection, in either direction, until `thaw`.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        *,
        pattern: bytes,
        pass_on: bool = True,
        hangs: bool = False,
    ) -> None:
        parts = urlsplit(url)
        self._server = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self.url = urlunsplit(parts._replace(query=f"host={quote(str(directory), safe='')}"))
        self.broken = 0
        self._pattern, self._pass_on, self._hangs = re.compile(pattern), pass_on, hangs
        self._armed: Callable[[], object] | None = None
        self._flows = threading.Event()
        self._flows.set()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / ".s.PGSQL.5432"))
        self._listening.listen()
        self._open: list[socket.socket] = [self._listening]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        # Only a shutdown wakes a thread that waits in accept or recv.
        self._listening.shutdown(socket.SHUT_RDWR)
        self.thaw()
        # It may have accepted a connection while no data passed.
        self._accepting.join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def break_next(self, first: Callable[[], object] = lambda: None) -> None:
        """Breaks the next connection. Calls `first` when it finds the pattern."""
        self._armed = first

    def thaw(self) -> None:
        self._flows.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                self._open += [client, server]
                self._flows.wait()
                server.connect(self._server)
                self._pass(client, server, self._may_pass)
                self._pass(server, client, lambda data, *_: True)

    def _may_pass(self, data: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Returns whether to pass the data. If not, closes the connection of the client."""
        if not (first := self._armed) or not self._pattern.search(data):
            return True
        self._armed = None
        first()
        self.broken += 1
        if self._hangs:
            self._flows.clear()
            return True
        # The thread for the other direction then finds the client's end closed.
        client.shutdown(socket.SHUT_RDWR)
        if self._pass_on:
            server.sendall(data)
        return False

    def _pass(
        self,
        source: socket.socket,
        target: socket.socket,
        may_pass: Callable[[bytes, socket.socket, socket.socket], bool],
    ) -> None:
        def run() -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    self._flows.wait()
                    if not may_pass(data, source, target):
                        break
                    target.sendall(data)
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

        threading.Thread(target=run, daemon=True).start()


def relay(directory: Path, **how: Any) -> Between:
    """Returns a relay before the test database."""
    facts: dict[str, Any] = connection.get_connection_params()
    if not str(facts.get("host", "")).startswith("/"):
        pytest.skip("the tests' server has no socket to stand in front of")
    login = f"{quote(facts['user'])}:{quote(facts.get('password') or '')}"
    url = f"postgresql://{login}@/{facts['dbname']}?host={quote(facts['host'], safe='')}"
    return Between(directory, url, **how)
