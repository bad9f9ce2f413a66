"""Options from a command line, a file, and the program."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from options.configuration import Configuration, load
from options.rendering import options_document
from options.sources.flags import parse_flags
from tests.support.commands import manage


def parsed(line: str) -> tuple[dict[str, str], list[tuple[str, str | None]]]:
    """Returns the variables and flags of a shell's command line."""
    words = shlex.split(line)
    flags = [word for word in words if word.startswith("-")]
    environ = dict(word.split("=", 1) for word in words if word not in flags)
    return environ, parse_flags(flags).settings


def load_file(path: Path, content: str | bytes, **environ: str) -> Configuration:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load({"CODER_CONFIG_PATH": str(path), **environ})


def options_by_name(configuration: Configuration, wire: str) -> dict[str, dict[str, Any]]:
    return {option["name"]: option for option in options_document(configuration, wire_format=wire)}


class Output:
    def __init__(self, *arguments: str, **environ: str) -> None:
        """Runs the program in an environment without a database."""
        apart = {name: "" for name in os.environ if name.startswith(("CODER", "DATABASE_URL"))}
        run = manage(*arguments, **{**apart, **environ})
        self.status, self.out, self.err = run.returncode, run.stdout, run.stderr
        assert "Traceback" not in self.err

    @property
    def errors(self) -> list[str]:
        assert self.status == (2 if "--" in self.err else 1)
        return self.err.splitlines()
