"""Root opens files in directories of PostgreSQL's account, and follows no link out of them."""

from __future__ import annotations

import os


def unfollowed(path: str, flags: int) -> int:
    """An `opener` for open(): no symbolic link, and private if the file is made."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
