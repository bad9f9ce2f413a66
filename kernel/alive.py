"""The life of other processes."""

from __future__ import annotations

import os


def is_alive(pid: int) -> bool:
    """Tells whether a process has this number now, ours or somebody else's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
