"""Secrets that an operator keeps in files, named by variables that end in _FILE."""

from __future__ import annotations

from pathlib import Path

_LARGEST = 1 << 20


def read_secret_file(path: Path) -> str:
    """The content without the line break at its end.

    Raises: ValueError, whose text names the file and never quotes its content.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ValueError(f"the file {path} cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ValueError(f"the file {path} is larger than 1 MiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"the file {path} is empty")
    return text
