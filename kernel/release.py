"""Detects whether this installation is a checkout or an installed package."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (ROOT / "manage.py").is_file()
# The name of the command in messages. A checkout has it as bin/coderapi.
PROGRAM = "coderapi"


def commit() -> str:
    """Returns the short hash of the checkout's commit, or "" if it is unknown."""
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip() if IS_CHECKOUT else ""
