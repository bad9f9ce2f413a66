"""Runs commands as an operator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.core.management import call_command

from tests.support.processes import PROJECT

# On a busy machine, a program with many requests takes several minutes.
MAX_SECONDS = 1_800


def run(name: str, *args: str, typed: str | None = None, **options: Any) -> str:
    """Returns the output of the command, stripped. Its standard input is `typed`, if any."""
    out = StringIO()
    with nullcontext() if typed is None else patch("sys.stdin", StringIO(typed)):
        call_command(name, *args, stdout=out, **options)
    return out.getvalue().strip()


def manage_with(program: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Returns a function that runs manage.py with these variables added to the environment."""

    def run(*arguments: str, typed: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(program), *arguments]
        return execute(command, typed=typed, env={**os.environ, **environ})

    return run


MANAGE = str(PROJECT / "manage.py")
manage = manage_with(Path(MANAGE))


def succeed(*arguments: str, by: str = MANAGE, typed: str = "", **environ: str) -> str:
    """Runs a command of manage.py, or of another copy. It must succeed. Returns its output."""
    done = manage_with(Path(by))(*arguments, typed=typed, **environ)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def error_of(*arguments: str, by: str = MANAGE, typed: str = "", **environ: str) -> str:
    """Runs a command that must fail without a traceback. Returns its errors."""
    done = manage_with(Path(by))(*arguments, typed=typed, **environ)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    return done.stderr


def execute(
    command: Sequence[str | Path], *, typed: str = "", **more: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, whatever its exit status is."""
    output: dict[str, Any] = {"capture_output": True, "text": True}
    return subprocess.run(command, input=typed, check=False, timeout=MAX_SECONDS, **output, **more)


def as_lines(*values: Any) -> str:
    """Returns JSON lines. A text becomes a line unchanged."""
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return "".join(f"{text}\n" for text in texts)


def write_lines(path: Path, *values: Any) -> str:
    path.write_text(as_lines(*values))
    return str(path)
