"""The documents that are made from the code: each file of the project, and what makes its text."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from coderapi import env_example
from kernel.http.schema.document import openapi_yaml
from kernel.http.wire import Wire
from options.reference import options_reference

type Maker = Callable[[], str]

DOCUMENTS: Mapping[str, Maker] = {
    ".env.example": env_example.render,
    "docs/openapi.yml": lambda: openapi_yaml(Wire.DOCUMENTED),
    "docs/openapi-coderd.yml": lambda: openapi_yaml(Wire.CODERD),
    "docs/options.md": options_reference,
}


def write(directory: Path) -> list[Path]:
    """The files, made anew."""
    written = []
    for name, make in DOCUMENTS.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
        written.append(path)
    return written


def differences(directory: Path) -> Iterator[str]:
    """A unified diff for each file that is not what the code makes of it; none when all are."""
    for name, make in DOCUMENTS.items():
        path = directory / name
        kept = path.read_text(encoding="utf-8") if path.exists() else ""
        made = make()
        if kept != made:
            yield "".join(
                difflib.unified_diff(
                    kept.splitlines(keepends=True),
                    made.splitlines(keepends=True),
                    fromfile=str(path),
                    tofile=f"{name}, made from the code",
                )
            )
