"""This process's one writer of reports."""

from __future__ import annotations

from collections.abc import Sequence

from csp.entries import Entry
from csp.group_commit import GroupCommit
from csp.store import Store

_store = Store()
_writer: GroupCommit[Entry] = GroupCommit(_store.commit, close=_store.close)


def write(entries: Sequence[Entry]) -> None:
    """Returns once the entries are committed. Raises: APIError 503 when they cannot be."""
    _writer.submit(entries)


def stop() -> None:
    """Writes what is waiting and closes the connection. The next `write` starts it again."""
    _writer.stop()
