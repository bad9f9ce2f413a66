"""Tells a checkout from an installed package, and development builds from releases."""

from __future__ import annotations

import subprocess
from pathlib import Path

GIT_TIMEOUT_SECONDS = 5
ROOT = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (ROOT / "manage.py").is_file()
# The program that has the commands, as messages name it.
PROGRAM = "manage.py" if IS_CHECKOUT else "coderapi"


def is_development(base_dir: Path, version: str) -> bool:
    """Tells if the version ends in `-devel`, or HEAD of a git checkout carries no tag."""
    return "-devel" in version or ((base_dir / ".git").exists() and not _on_a_tag(base_dir))


def _on_a_tag(base_dir: Path) -> bool:
    try:
        described = subprocess.run(
            ["git", "describe", "--exact-match", "--tags", "HEAD"],  # noqa: S607 - any git will do
            cwd=base_dir,
            capture_output=True,
            timeout=GIT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return described.returncode == 0
