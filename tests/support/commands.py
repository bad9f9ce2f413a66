"""Running commands as an operator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management import call_command

from tests.support.processes import PROJECT


def run(name: str, *args: str, **options: Any) -> str:
    """Returns what the command prints, without white space around it."""
    out = StringIO()
    call_command(name, *args, stdout=out, **options)
    return out.getvalue().strip()


def manage(*arguments: str, typed: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs manage.py in a process of its own, with these variables besides its environment."""
    return subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), *arguments],
        env={**os.environ, **environ},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def as_lines(*values: Any) -> str:
    """JSON lines; a text stands as it is."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return "".join(f"{text}\n" for text in texts)


def write_lines(path: Path, *values: Any) -> str:
    path.write_text(as_lines(*values))
    return str(path)
