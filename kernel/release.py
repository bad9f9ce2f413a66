"""Tells a checkout from an installed package."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (ROOT / "manage.py").is_file()
# The program that has the commands, as messages name it.
PROGRAM = "manage.py" if IS_CHECKOUT else "coderapi"
