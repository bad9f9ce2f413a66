"""Runs programs, and writes and checks the sums of the files of a release."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

SUMS = "SHA256SUMS"
# The list of sums, and its signature, have no sum.
WITHOUT_SUM = (SUMS, f"{SUMS}.asc")


class ReleaseError(Exception):
    """The release cannot be built, or is wrong. The message is for the person who releases."""


def output(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Returns the output of a program. Raises: ReleaseError with its output if it fails."""
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        shown = " ".join(map(str, command))
        raise ReleaseError(f"`{shown}` failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def write_sums(directory: Path) -> None:
    """Writes the SHA-256 sum of each file of the directory, as `sha256sum --check` reads them."""
    lines = [f"{_sum(file)}  {file.name}\n" for file in sorted(directory.iterdir())]
    (directory / SUMS).write_text("".join(lines))


def check_sums(directory: Path) -> None:
    """Compares the files with their sums.

    Raises: ReleaseError for a file that differs, is missing or has no sum.
    """
    sums = {name: sum_ for sum_, name in _sums(directory)}
    files = {file.name: file for file in directory.iterdir() if file.name not in WITHOUT_SUM}
    for name in sorted(sums.keys() | files.keys()):
        file = files.get(name)
        if not file or not file.is_file() or _sum(file) != sums.get(name):
            raise ReleaseError(f"{directory / name} is missing, or is not the file in {SUMS}")


def the_file(directory: Path, pattern: str) -> Path:
    """Returns the only file with such a name. Raises: ReleaseError if there is not exactly one."""
    found = [*directory.glob(pattern)]
    if len(found) != 1:
        raise ReleaseError(f"{directory} must have one file {pattern}. Found: {len(found)}.")
    return found[0]


def _sums(directory: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = (directory / SUMS).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{directory} is no built release: {error}") from error
    for line in lines:
        sum_, _, name = line.partition("  ")
        yield sum_, name


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
