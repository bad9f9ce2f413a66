#!/usr/bin/env python3
"""The entry point of every command in a checkout. bin/coderapi runs it."""

from __future__ import annotations

import os
import sys

try:
    from coderapi.startup.exit_status import exit_on_signals

    # Before the other imports, which take a part of a second.
    exit_on_signals()
except KeyboardInterrupt:
    sys.exit(130)

from importlib.util import find_spec
from pathlib import Path

ENVIRONMENT = Path(__file__).resolve().parent / ".venv"


def use_environment() -> None:
    """Runs this file with the Python of the checkout if this Python does not have the packages."""
    if find_spec("django") is not None:
        return
    python = ENVIRONMENT / "bin/python"
    if Path(sys.prefix).resolve() == ENVIRONMENT or not python.exists():
        sys.exit("coderapi: The packages are not installed. Run `bin/setup run`, and try again.")
    os.execv(python, [str(python), *sys.argv])  # noqa: S606 - no shell


if __name__ == "__main__":
    use_environment()

    from coderapi.__main__ import main

    main()
