"""Describes this installation: a checkout or an installed package, and the commit of its build.

`bin/release` writes the commit and the address of the repository into a file of the package. A
checkout has no such file. Its commit is read from git, and the address is unknown.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (ROOT / "manage.py").is_file()
# The name of the command in messages. A checkout has it as bin/coderapi.
PROGRAM = "coderapi"


_FILE = ROOT / "coderapi" / "build.json"
_BUILD: dict[str, str] = json.loads(_FILE.read_text()) if _FILE.is_file() else {}
# The URL of the project's repository, or "" if it is unknown. Without it, no page shows a link.
REPOSITORY = _BUILD.get("repository", "")


def commit() -> str:
    """Returns the short hash of the commit, or "" if it is unknown."""
    if _BUILD or not IS_CHECKOUT:
        return _BUILD.get("commit", "")
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip()


def notes_url(version: str) -> str:
    """Returns the URL of the notes of a release, or "" if the repository is unknown."""
    return f"{REPOSITORY}/releases/tag/v{version}" if REPOSITORY else ""
