"""Detects whether this installation is a checkout or an installed package."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (ROOT / "manage.py").is_file()
# The name of the command in messages. A checkout has it as bin/coderapi.
PROGRAM = "coderapi"
